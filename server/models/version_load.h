/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* From a version that was found in the repository to tables that may be
 * served. */
#ifndef NB_SERVER_VERSION_LOAD_H
#define NB_SERVER_VERSION_LOAD_H

#include <stdbool.h>

#include "quant/nibble.h"
#include "server/settings/options.h"
#include "server/models/table_set.h"
#include "storage/repo/model_repo.h"

struct version_load {
    enum table_verify verify;
    const struct option_list *residency; /* rules; NULL: all mapped */
    bool prefault;              /* read all that is only mapped to memory */
    const struct io_pace *pace; /* may be NULL */
    unsigned n_loops;
    struct reaper *reaper; /* that is to free the tables; may be NULL */
};

/* Checks what opening by header alone did not. Errors of
 * model_version_verify_rest(). */
int version_verify(const struct version_load *load,
                   const struct serving *serving, struct nb_errctx *err);

/* Of a version that was verified: has it where it is to be in memory, and makes
 * the set, one reference; takes the tables from serving->opened, on an error
 * too. Errors of model_version_prefault(), table_reside(), table_set_take(). */
int version_load(const struct version_load *load, const char *model,
                 struct serving *serving, struct table_set **tables,
                 struct nb_errctx *err);

#endif
