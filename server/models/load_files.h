/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The tables of --table: they form one model, which stays as it is. */
#ifndef NB_SERVER_LOAD_FILES_H
#define NB_SERVER_LOAD_FILES_H

#include "quant/nibble.h"
#include "server/models/catalog.h"
#include "server/settings/options.h"

/* Opens and checks them. The caller holds the one reference. Errors of
 * table_open(); NB_ERR_INVALID: a name is given twice; NB_ERR_NOMEM. */
int load_files(const struct options *options, unsigned n_loops,
               struct catalog **catalog, struct nb_errctx *err);

#endif
