/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The models there are, what is loaded of each, and what came of the last look
 * for more. Immutable once shared, so any thread reads it without a lock, and
 * whoever holds a reference keeps every version in it: putting another in its
 * place is how a version, all its tables at once, takes the place of another.
 */
#ifndef NB_SERVER_CATALOG_H
#define NB_SERVER_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "server/models/table_set.h"
#include "storage/repo/repo_name.h"

struct catalog;

/* Why a model is served by this version. */
enum catalog_choice {
    CATALOG_FILES,  /* it is of the command line */
    CATALOG_LATEST, /* the highest of the repository that is whole */
    CATALOG_PINNED
};

enum reload_result {
    RELOAD_NONE,     /* nothing came of looking yet */
    RELOAD_LOADED,   /* a version was loaded, and is served */
    RELOAD_SWITCHED, /* one that was loaded is served, or for another reason */
    RELOAD_FAILED    /* all is as it was */
};

#define RELOAD_REASON_BYTES 256

/* The last look for a version that came to something. */
struct catalog_reload {
    enum reload_result result;
    uint64_t version;    /* that was tried; 0: it did not come to one */
    uint64_t at_unix_ms; /* when it ended */
    uint64_t took_ms;
    uint64_t n_loads;    /* since the start */
    uint64_t n_failures; /* likewise */
    /* Of failing, of passing versions over; printable ASCII. */
    char reason[RELOAD_REASON_BYTES];
};

/* Versions of a model that are loaded beside the served one, at most. */
#define CATALOG_KEPT_MAX 16

/* References are the catalog's, in one that is to be added the caller's. */
struct catalog_entry {
    struct table_set *tables; /* name, version, tables; version 0: none yet */
    struct table_set *kept[CATALOG_KEPT_MAX]; /* the last served first */
    size_t n_kept;
    enum catalog_choice choice;
    struct catalog_reload reload;
};

/* The last of them are remembered, of all models. */
#define CATALOG_EVENTS 16

struct catalog_event {
    char model[REPO_NAME_MAX + 1];
    struct catalog_reload reload;
};

/* An empty one with one reference. NB_ERR_NOMEM. */
int catalog_create(struct catalog **catalog);

/* Adds a model, with a reference of its own, before the catalog is shared.
 * NB_ERR_INVALID: there is one of that name; NB_ERR_NOMEM. */
int catalog_add(struct catalog *catalog, struct table_set *tables,
                enum catalog_choice choice);

/* The same with all there is to an entry. */
int catalog_add_entry(struct catalog *catalog,
                      const struct catalog_entry *entry);

/* A copy, one reference, in which `entry` stands in place of the model called
 * `name`, if there is one; NULL: nothing does. What is new of its reload
 * becomes the newest event. NB_ERR_NOMEM. */
int catalog_replace(const struct catalog *catalog, const char *name,
                    const struct catalog_entry *entry, struct catalog **copy);

struct catalog *catalog_ref(struct catalog *catalog);
/* NULL is allowed. */
void catalog_unref(struct catalog *catalog);

/* Models in order of their names. */
size_t catalog_n(const struct catalog *catalog);
const struct catalog_entry *catalog_at(const struct catalog *catalog, size_t i);

/* The last things that came of looking for versions, the newest first. */
size_t catalog_n_events(const struct catalog *catalog);
const struct catalog_event *catalog_event_at(const struct catalog *catalog,
                                             size_t i);

/* NULL if there is no model of that name; an empty one means the only model
 * that is served, and is NULL if there are more. */
const struct catalog_entry *catalog_find(const struct catalog *catalog,
                                         const char *name);

/* A version that is loaded, 0 for the one that is served; or NULL. */
struct table_set *catalog_entry_version(const struct catalog_entry *entry,
                                        uint64_t version);

/* Is a version of it served? */
bool catalog_entry_is_served(const struct catalog_entry *entry);

/* Is a version, of which pages may have been read by nobody, served that was
 * not before, or loaded that was not? */
bool catalog_brings_unread(const struct catalog *catalog,
                           const struct catalog *before);

/* Bytes of all files that are loaded: of a model, of all. */
uint64_t catalog_entry_bytes(const struct catalog_entry *entry);
uint64_t catalog_bytes(const struct catalog *catalog);

/* "a, b, c": those that are served, for messages; cut with "..." to fit. */
void catalog_names(const struct catalog *catalog, char *to, size_t bytes);

/* "files", "latest", "pinned" */
const char *catalog_choice_name(enum catalog_choice choice);

/* "loaded", "switched", "failed"; "" */
const char *catalog_result_name(enum reload_result result);

#endif
