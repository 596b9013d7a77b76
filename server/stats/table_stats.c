/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/stats/table_stats.h"

#include <assert.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "quant/nibble.h"
#include "server/stats/counters.h"

/* A cache line of another loop is never written to. */
struct slot {
    alignas(128) struct {
#define TABLE_COUNTER(name) _Atomic uint64_t name;
        TABLE_COUNTER_MAP(TABLE_COUNTER)
#undef TABLE_COUNTER
    } counts;
};

struct table_stats {
    struct table_stats *next;
    char *model;
    char *table;
    unsigned n_refs; /* under the lock */
    unsigned n_loops;
    struct slot *slots;
};

/* Those that somebody has: a table finds its own by name when it is loaded,
 * while the version before is still there. No request comes here. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table_stats *all;

static void free_stats(struct table_stats *stats)
{
    free(stats->slots);
    free(stats->table);
    free(stats->model);
    free(stats);
}

static struct table_stats *create(const char *model, const char *table,
                                  unsigned n_loops)
{
    struct table_stats *stats = calloc(1, sizeof(*stats));
    if (stats == NULL) {
        return NULL;
    }
    stats->n_loops = n_loops;
    stats->model = strdup(model);
    stats->table = strdup(table);
    stats->slots =
        aligned_alloc(_Alignof(struct slot), n_loops * sizeof(struct slot));
    if (stats->model == NULL || stats->table == NULL || stats->slots == NULL) {
        free_stats(stats);
        return NULL;
    }
    for (unsigned i = 0; i < n_loops; i++) {
        stats->slots[i] = (struct slot){0};
    }
    return stats;
}

/* Where the pointer to that of the table is, or to NULL. */
static struct table_stats **find(const char *model, const char *table)
{
    struct table_stats **at = &all;
    while (*at != NULL && (strcmp((*at)->model, model) != 0 ||
                           strcmp((*at)->table, table) != 0)) {
        at = &(*at)->next;
    }
    return at;
}

int table_stats_get(const char *model, const char *table, unsigned n_loops,
                    struct table_stats **stats)
{
    pthread_mutex_lock(&lock);
    struct table_stats **at = find(model, table);
    if (*at == NULL) {
        *at = create(model, table, n_loops);
    }
    struct table_stats *found = *at;
    if (found != NULL) {
        assert(found->n_loops == n_loops);
        found->n_refs++;
    }
    pthread_mutex_unlock(&lock);
    if (found == NULL) {
        return NB_ERR_NOMEM;
    }
    *stats = found;
    return 0;
}

void table_stats_put(struct table_stats *stats)
{
    if (stats == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    if (--stats->n_refs == 0) {
        *find(stats->model, stats->table) = stats->next;
        free_stats(stats);
    }
    pthread_mutex_unlock(&lock);
}

void table_stats_add(struct table_stats *stats, unsigned loop,
                     const struct table_totals *more)
{
    struct slot *slot = &stats->slots[loop];
#define TABLE_COUNTER(name) counter_add(&slot->counts.name, more->name);
    TABLE_COUNTER_MAP(TABLE_COUNTER)
#undef TABLE_COUNTER
}

void table_stats_sum(const struct table_stats *stats,
                     struct table_totals *totals)
{
    *totals = (struct table_totals){0};
    for (unsigned i = 0; i < stats->n_loops; i++) {
        const struct slot *slot = &stats->slots[i];
#define TABLE_COUNTER(name)                                                    \
    totals->name +=                                                            \
        atomic_load_explicit(&slot->counts.name, memory_order_relaxed);
        TABLE_COUNTER_MAP(TABLE_COUNTER)
#undef TABLE_COUNTER
    }
}
