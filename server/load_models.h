/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The models that the options name, opened and checked. Runs on any thread, and
 * changes nothing that is being served. */
#ifndef NB_SERVER_LOAD_MODELS_H
#define NB_SERVER_LOAD_MODELS_H

#include "quant/nibble.h"
#include "server/catalog.h"
#include "server/options.h"

/*
 * Makes a catalog of --table, or of --repo. Logs the versions that are passed
 * over. A model named by --model must be there and load; of a repository that
 * is served whole, what does not load is logged and left out, but for the last.
 * The caller holds the one reference. Errors of table_open() and
 * model_repo_open_serving(); NB_ERR_NOT_FOUND: there is nothing to serve.
 */
int load_models(const struct options *options, unsigned n_loops,
                struct catalog **catalog, struct nb_errctx *err);

/* One model of --repo, by the version that is to be served. The caller holds
 * the one reference. */
int load_model(const struct options *options, const char *model,
               unsigned n_loops, struct table_set **tables,
               enum catalog_choice *choice, struct nb_errctx *err);

#endif
