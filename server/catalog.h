/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The models that are served, each by one version. Immutable once shared, so
 * any thread reads it without a lock, and whoever holds a reference keeps every
 * model of it: putting another in its place switches all models at once.
 */
#ifndef NB_SERVER_CATALOG_H
#define NB_SERVER_CATALOG_H

#include <stddef.h>

#include "quant/nibble.h"
#include "server/table_set.h"

struct catalog;

/* Why a model is served by this version. */
enum catalog_choice {
    CATALOG_FILES,  /* it is of the command line */
    CATALOG_LATEST, /* the highest of the repository that is whole */
    CATALOG_PINNED
};

struct catalog_entry {
    struct table_set *tables; /* a reference: name, version, tables */
    enum catalog_choice choice;
};

/* An empty one with one reference. NB_ERR_NOMEM. */
int catalog_create(struct catalog **catalog);

/* Adds a model, with a reference of its own, before the catalog is shared.
 * NB_ERR_INVALID: there is one of that name; NB_ERR_NOMEM. */
int catalog_add(struct catalog *catalog, struct table_set *tables,
                enum catalog_choice choice);

struct catalog *catalog_ref(struct catalog *catalog);
/* NULL is allowed. */
void catalog_unref(struct catalog *catalog);

/* Models in order of their names. */
size_t catalog_n(const struct catalog *catalog);
const struct catalog_entry *catalog_at(const struct catalog *catalog, size_t i);

/* NULL if there is no model of that name; an empty one means the only model,
 * and is NULL if there are more. */
const struct catalog_entry *catalog_find(const struct catalog *catalog,
                                         const char *name);

/* "a, b, c", for messages; cut with "..." to fit. */
void catalog_names(const struct catalog *catalog, char *to, size_t bytes);

/* "files", "latest", "pinned" */
const char *catalog_choice_name(enum catalog_choice choice);

#endif
