/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/catalog.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct catalog {
    _Atomic unsigned n_refs;
    size_t n;
    struct catalog_entry *entries; /* sorted by name */
    size_t n_events;
    struct catalog_event events[CATALOG_EVENTS];
};

int catalog_create(struct catalog **catalog)
{
    struct catalog *created = calloc(1, sizeof(*created));
    if (created == NULL) {
        return NB_ERR_NOMEM;
    }
    atomic_init(&created->n_refs, 1);
    *catalog = created;
    return 0;
}

static const char *name_at(const struct catalog *catalog, size_t i)
{
    return table_set_model(catalog->entries[i].tables);
}

/* Where `name` stands among the entries, or would stand. */
static size_t position(const struct catalog *catalog, const char *name)
{
    size_t low = 0;
    size_t high = catalog->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(name_at(catalog, middle), name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int catalog_add(struct catalog *catalog, struct table_set *tables,
                enum catalog_choice choice)
{
    const struct catalog_entry entry = {.tables = tables, .choice = choice};
    return catalog_add_entry(catalog, &entry);
}

static void ref_entry(const struct catalog_entry *entry)
{
    table_set_ref(entry->tables);
    for (size_t i = 0; i < entry->n_kept; i++) {
        table_set_ref(entry->kept[i]);
    }
}

static void unref_entry(const struct catalog_entry *entry)
{
    table_set_unref(entry->tables);
    for (size_t i = 0; i < entry->n_kept; i++) {
        table_set_unref(entry->kept[i]);
    }
}

int catalog_add_entry(struct catalog *catalog,
                      const struct catalog_entry *entry)
{
    const char *name = table_set_model(entry->tables);
    size_t at = position(catalog, name);
    if (at < catalog->n && strcmp(name_at(catalog, at), name) == 0) {
        return NB_ERR_INVALID;
    }
    struct catalog_entry *entries =
        realloc(catalog->entries, (catalog->n + 1) * sizeof(*entries));
    if (entries == NULL) {
        return NB_ERR_NOMEM;
    }
    memmove(&entries[at + 1], &entries[at],
            (catalog->n - at) * sizeof(*entries));
    entries[at] = *entry;
    ref_entry(entry);
    catalog->entries = entries;
    catalog->n++;
    return 0;
}

static const struct catalog_reload *reload_of(const struct catalog *catalog,
                                              const char *name)
{
    size_t at = position(catalog, name);
    return at < catalog->n && strcmp(name_at(catalog, at), name) == 0
               ? &catalog->entries[at].reload
               : NULL;
}

/* An entry is replaced for other reasons, too. */
static bool is_event(const struct catalog *catalog, const char *name,
                     const struct catalog_reload *reload)
{
    const struct catalog_reload *old = reload_of(catalog, name);
    return reload->result != RELOAD_NONE &&
           (old == NULL || old->result != reload->result ||
            old->at_unix_ms != reload->at_unix_ms ||
            old->version != reload->version);
}

static void copy_events(const struct catalog *from, const char *name,
                        const struct catalog_entry *entry, struct catalog *to)
{
    if (entry != NULL && is_event(from, name, &entry->reload)) {
        struct catalog_event *event = &to->events[to->n_events++];
        snprintf(event->model, sizeof(event->model), "%s", name);
        event->reload = entry->reload;
    }
    for (size_t i = 0; i < from->n_events && to->n_events < CATALOG_EVENTS;
         i++) {
        to->events[to->n_events++] = from->events[i];
    }
}

size_t catalog_n_events(const struct catalog *catalog)
{
    return catalog->n_events;
}

const struct catalog_event *catalog_event_at(const struct catalog *catalog,
                                             size_t i)
{
    assert(i < catalog->n_events);
    return &catalog->events[i];
}

int catalog_replace(const struct catalog *catalog, const char *name,
                    const struct catalog_entry *entry, struct catalog **copy)
{
    struct catalog *made = NULL;
    int rv = catalog_create(&made);
    for (size_t i = 0; rv == 0 && i < catalog->n; i++) {
        if (strcmp(name_at(catalog, i), name) != 0) {
            rv = catalog_add_entry(made, &catalog->entries[i]);
        }
    }
    if (rv == 0 && entry != NULL) {
        rv = catalog_add_entry(made, entry);
    }
    if (rv != 0) {
        catalog_unref(made);
        return rv;
    }
    copy_events(catalog, name, entry, made);
    *copy = made;
    return 0;
}

struct catalog *catalog_ref(struct catalog *catalog)
{
    atomic_fetch_add_explicit(&catalog->n_refs, 1, memory_order_relaxed);
    return catalog;
}

void catalog_unref(struct catalog *catalog)
{
    if (catalog == NULL ||
        atomic_fetch_sub_explicit(&catalog->n_refs, 1, memory_order_acq_rel) !=
            1) {
        return;
    }
    for (size_t i = 0; i < catalog->n; i++) {
        unref_entry(&catalog->entries[i]);
    }
    free(catalog->entries);
    free(catalog);
}

size_t catalog_n(const struct catalog *catalog)
{
    return catalog->n;
}

const struct catalog_entry *catalog_at(const struct catalog *catalog, size_t i)
{
    assert(i < catalog->n);
    return &catalog->entries[i];
}

bool catalog_entry_is_served(const struct catalog_entry *entry)
{
    return table_set_version(entry->tables) != 0;
}

struct table_set *catalog_entry_version(const struct catalog_entry *entry,
                                        uint64_t version)
{
    if (version == 0 || version == table_set_version(entry->tables)) {
        return catalog_entry_is_served(entry) ? entry->tables : NULL;
    }
    for (size_t i = 0; i < entry->n_kept; i++) {
        if (table_set_version(entry->kept[i]) == version) {
            return entry->kept[i];
        }
    }
    return NULL;
}

static bool brings_unread(const struct catalog_entry *entry,
                          const struct catalog_entry *before)
{
    if (table_set_is_unread(entry->tables) &&
        (before == NULL || before->tables != entry->tables)) {
        return true;
    }
    for (size_t i = 0; i < entry->n_kept; i++) {
        struct table_set *set = entry->kept[i];
        if (table_set_is_unread(set) &&
            (before == NULL ||
             catalog_entry_version(before, table_set_version(set)) != set)) {
            return true;
        }
    }
    return false;
}

bool catalog_brings_unread(const struct catalog *catalog,
                           const struct catalog *before)
{
    for (size_t i = 0; i < catalog->n; i++) {
        const struct catalog_entry *entry = &catalog->entries[i];
        if (brings_unread(
                entry, catalog_find(before, table_set_model(entry->tables)))) {
            return true;
        }
    }
    return false;
}

uint64_t catalog_entry_bytes(const struct catalog_entry *entry)
{
    uint64_t bytes = table_set_bytes(entry->tables);
    for (size_t i = 0; i < entry->n_kept; i++) {
        bytes += table_set_bytes(entry->kept[i]);
    }
    return bytes;
}

uint64_t catalog_bytes(const struct catalog *catalog)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < catalog->n; i++) {
        bytes += catalog_entry_bytes(&catalog->entries[i]);
    }
    return bytes;
}

static const struct catalog_entry *only_served(const struct catalog *catalog)
{
    const struct catalog_entry *only = NULL;
    for (size_t i = 0; i < catalog->n; i++) {
        if (catalog_entry_is_served(&catalog->entries[i])) {
            if (only != NULL) {
                return NULL;
            }
            only = &catalog->entries[i];
        }
    }
    return only;
}

const struct catalog_entry *catalog_find(const struct catalog *catalog,
                                         const char *name)
{
    if (name[0] == '\0') {
        return only_served(catalog);
    }
    size_t at = position(catalog, name);
    if (at == catalog->n || strcmp(name_at(catalog, at), name) != 0) {
        return NULL;
    }
    return &catalog->entries[at];
}

void catalog_names(const struct catalog *catalog, char *to, size_t bytes)
{
    static const char more[] = "...";
    size_t used = 0;
    to[0] = '\0';
    for (size_t i = 0; i < catalog->n; i++) {
        const char *name = name_at(catalog, i);
        if (!catalog_entry_is_served(&catalog->entries[i])) {
            continue;
        }
        /* Room for the comma, the name, and a comma with "..." after it. */
        if (used + 2 + strlen(name) + 2 + sizeof(more) > bytes) {
            snprintf(to + used, bytes - used, "%s%s", used > 0 ? ", " : "",
                     more);
            return;
        }
        used += (size_t)snprintf(to + used, bytes - used, "%s%s",
                                 used > 0 ? ", " : "", name);
    }
}

const char *catalog_choice_name(enum catalog_choice choice)
{
    static const char *const names[] = {[CATALOG_FILES] = "files",
                                        [CATALOG_LATEST] = "latest",
                                        [CATALOG_PINNED] = "pinned"};
    return names[choice];
}

const char *catalog_result_name(enum reload_result result)
{
    static const char *const names[] = {[RELOAD_NONE] = "",
                                        [RELOAD_LOADED] = "loaded",
                                        [RELOAD_SWITCHED] = "switched",
                                        [RELOAD_FAILED] = "failed"};
    return names[result];
}
