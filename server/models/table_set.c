/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/table_set.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct table_set {
    struct reaper_item doomed; /* first: the set is found from it */
    struct reaper *reaper;     /* NULL: freed at once */
    _Atomic unsigned n_refs;
    char *model;
    uint64_t version;
    struct version_id id;
    unsigned n_loops;
    bool unread;
    size_t n;
    struct table_entry *entries; /* sorted by name */
};

static void free_set(struct table_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        table_close(set->entries[i].table);
        table_stats_put(set->entries[i].stats);
        free(set->entries[i].name);
    }
    free(set->entries);
    free(set->model);
    free(set);
}

int table_set_create(const char *model, uint64_t version, unsigned n_loops,
                     struct table_set **set)
{
    assert(n_loops > 0);
    struct table_set *new_set = calloc(1, sizeof(*new_set));
    if (new_set == NULL) {
        return NB_ERR_NOMEM;
    }
    new_set->version = version;
    new_set->n_loops = n_loops;
    new_set->model = strdup(model);
    if (new_set->model == NULL) {
        free_set(new_set);
        return NB_ERR_NOMEM;
    }
    atomic_init(&new_set->n_refs, 1);
    *set = new_set;
    return 0;
}

void table_set_identify(struct table_set *set, const struct version_id *id)
{
    set->id = *id;
}

const struct version_id *table_set_id(const struct table_set *set)
{
    return &set->id;
}

void table_set_tell_unread(struct table_set *set)
{
    set->unread = true;
}

bool table_set_is_unread(const struct table_set *set)
{
    return set->unread;
}

uint64_t table_set_bytes(const struct table_set *set)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < set->n; i++) {
        bytes += table_info(set->entries[i].table)->file_bytes;
    }
    return bytes;
}

static int grow(struct table_set *set)
{
    struct table_entry *entries =
        realloc(set->entries, (set->n + 1) * sizeof(*entries));
    if (entries == NULL) {
        return NB_ERR_NOMEM;
    }
    set->entries = entries;
    return 0;
}

/* Where `name` stands among the entries, or would stand. */
static size_t position(const struct table_set *set, const char *name)
{
    size_t low = 0;
    size_t high = set->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(set->entries[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int make_entry(const struct table_set *set, const char *name,
                      struct table *table, struct table_entry *entry)
{
    *entry = (struct table_entry){
        .name = strdup(name),
        .table = table,
        .rows = table_rows(table),
        .unseen = table_info(table)->unseen,
    };
    int rv = entry->name == NULL
                 ? NB_ERR_NOMEM
                 : nb_row_bytes(&entry->rows->format, &entry->row_bytes);
    if (rv == 0) {
        rv = table_stats_get(set->model, name, set->n_loops, &entry->stats);
    }
    if (rv != 0) {
        free(entry->name);
    }
    return rv;
}

int table_set_take(struct table_set *set, const char *name, struct table *table,
                   struct nb_errctx *err)
{
    size_t at = position(set, name);
    if (at < set->n && strcmp(set->entries[at].name, name) == 0) {
        return nb_fail(err, NB_ERR_INVALID, "table '%.100s' is given twice",
                       name);
    }
    struct table_entry entry;
    int rv = make_entry(set, name, table, &entry);
    if (rv == 0) {
        rv = grow(set);
        if (rv != 0) {
            table_stats_put(entry.stats);
            free(entry.name);
        }
    }
    if (rv != 0) {
        return nb_fail(err, rv, "table '%.100s': %s", name, nb_strerror(rv));
    }
    memmove(&set->entries[at + 1], &set->entries[at],
            (set->n - at) * sizeof(entry));
    set->entries[at] = entry;
    set->n++;
    return 0;
}

int table_set_add(struct table_set *set, const char *name, const char *path,
                  enum table_verify verify, struct nb_errctx *err)
{
    struct table *table;
    int rv = table_open(path, verify, &table, err);
    if (rv != 0) {
        return rv;
    }
    rv = table_set_take(set, name, table, err);
    if (rv != 0) {
        table_close(table);
    }
    return rv;
}

struct table_set *table_set_ref(struct table_set *set)
{
    atomic_fetch_add_explicit(&set->n_refs, 1, memory_order_relaxed);
    return set;
}

static void free_doomed(struct reaper_item *item)
{
    free_set((struct table_set *)item);
}

void table_set_free_by(struct table_set *set, struct reaper *reaper)
{
    set->doomed.free = free_doomed;
    set->reaper = reaper;
}

void table_set_unref(struct table_set *set)
{
    if (set == NULL ||
        atomic_fetch_sub_explicit(&set->n_refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (set->reaper != NULL) {
        reaper_take(set->reaper, &set->doomed);
    } else {
        free_set(set);
    }
}

const char *table_set_model(const struct table_set *set)
{
    return set->model;
}

uint64_t table_set_version(const struct table_set *set)
{
    return set->version;
}

size_t table_set_n(const struct table_set *set)
{
    return set->n;
}

const struct table_entry *table_set_at(const struct table_set *set, size_t i)
{
    assert(i < set->n);
    return &set->entries[i];
}

const struct table_entry *table_set_find(const struct table_set *set,
                                         const char *name)
{
    size_t at = position(set, name);
    if (at == set->n || strcmp(set->entries[at].name, name) != 0) {
        return NULL;
    }
    return &set->entries[at];
}
