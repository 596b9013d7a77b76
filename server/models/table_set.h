/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The tables of one version of a model. Immutable once shared, so any thread
 * reads it without a lock; whoever holds a reference keeps every table mapped.
 */
#ifndef NB_SERVER_TABLE_SET_H
#define NB_SERVER_TABLE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "server/models/reaper.h"
#include "server/stats/table_stats.h"
#include "storage/repo/model_version.h"
#include "storage/table/table_reader.h"

struct table_set;

struct table_entry {
    char *name;
    struct table *table;
    const struct nb_rows *rows; /* of the table */
    size_t row_bytes;           /* encoded, without padding */
    struct nb_unseen_policy unseen;
    struct table_stats *stats; /* a reference */
};

/* An empty set with one reference; version 0 stands for none. NB_ERR_NOMEM. */
int table_set_create(const char *model, uint64_t version, unsigned n_loops,
                     struct table_set **set);

/* Opens `path` as the table called `name`, before the set is shared. Errors of
 * table_open(); NB_ERR_INVALID: there is one of that name; NB_ERR_NOMEM. */
int table_set_add(struct table_set *set, const char *name, const char *path,
                  enum table_verify verify, struct nb_errctx *err);

/* The same with a table that is open, which it takes over on success. */
int table_set_take(struct table_set *set, const char *name, struct table *table,
                   struct nb_errctx *err);

/* Has the set freed by that thread: unmapping takes long. Before it is
 * shared. */
void table_set_free_by(struct table_set *set, struct reaper *reaper);

struct table_set *table_set_ref(struct table_set *set);
/* May free the set and unmap its tables, here or by its reaper; NULL is
 * allowed. */
void table_set_unref(struct table_set *set);

const char *table_set_model(const struct table_set *set);
uint64_t table_set_version(const struct table_set *set);

/* Which version of that number; zeros unless it was told, which is before the
 * set is shared. */
void table_set_identify(struct table_set *set, const struct version_id *id);
const struct version_id *table_set_id(const struct table_set *set);

/* Pages of its tables may have been read by nobody. To be told before the set
 * is shared. */
void table_set_tell_unread(struct table_set *set);
bool table_set_is_unread(const struct table_set *set);

/* Of the files of all tables. */
uint64_t table_set_bytes(const struct table_set *set);

/* Tables in order of their names. */
size_t table_set_n(const struct table_set *set);
const struct table_entry *table_set_at(const struct table_set *set, size_t i);

/* NULL if there is no table of that name. */
const struct table_entry *table_set_find(const struct table_set *set,
                                         const char *name);

#endif
