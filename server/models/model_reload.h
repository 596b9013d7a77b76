/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* One look at one model of a repository, and what follows from it. Knows
 * neither thread nor loop. */
#ifndef NB_SERVER_MODEL_RELOAD_H
#define NB_SERVER_MODEL_RELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/models/catalog.h"
#include "server/models/failed_versions.h"
#include "server/models/version_load.h"

struct model_reload {
    const char *repo;
    size_t keep_loaded;  /* versions of a model */
    uint64_t keep_bytes; /* of all that is loaded, for any to be kept */
    struct version_load load;
    struct failed_versions failed;
    bool running;   /* requests are being answered: prefault, and log */
    bool must_load; /* or the server does not start, which tells why */
    /* The catalog there is; and puts `entry` in the place of a model, once
     * every loop has it returning 0. NB_ERR_NOMEM. */
    const struct catalog *(*catalog)(void *arg);
    int (*replace)(void *arg, const char *model,
                   const struct catalog_entry *entry);
    void *arg;
};

/* Finds the version of the model that is to be served, and has it served. What
 * came of it is in the model's entry of the catalog. */
void model_reload(struct model_reload *reload, const char *model);

#endif
