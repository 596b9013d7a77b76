/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What was asked of a table, counted over the versions of its model: those that
 * are loaded share it, so that counting goes on when one takes the place of
 * another. Each loop writes its own; anyone may sum them. */
#ifndef NB_SERVER_TABLE_STATS_H
#define NB_SERVER_TABLE_STATS_H

#include <stdint.h>

/* TABLE_COUNTER(name) */
#define TABLE_COUNTER_MAP(TABLE_COUNTER)                                       \
    TABLE_COUNTER(ids)    /* looked up, or pooled */                           \
    TABLE_COUNTER(bags)   /* pooled */                                         \
    TABLE_COUNTER(unseen) /* of the ids, those that the table does not have */

struct table_stats;

struct table_totals {
#define TABLE_COUNTER(name) uint64_t name;
    TABLE_COUNTER_MAP(TABLE_COUNTER)
#undef TABLE_COUNTER
};

/* Any thread: that of the table of the model, with a reference; all zeros if
 * nobody has it. Everyone gives the same n_loops. NB_ERR_NOMEM. */
int table_stats_get(const char *model, const char *table, unsigned n_loops,
                    struct table_stats **stats);
/* Any thread; NULL is allowed. */
void table_stats_put(struct table_stats *stats);

/* By the thread of the loop. */
void table_stats_add(struct table_stats *stats, unsigned loop,
                     const struct table_totals *more);

/* Any thread. */
void table_stats_sum(const struct table_stats *stats,
                     struct table_totals *totals);

#endif
