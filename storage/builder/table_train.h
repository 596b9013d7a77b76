/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Trains the parameters of a table on a sample of its rows. */
#ifndef NB_STORAGE_TABLE_TRAIN_H
#define NB_STORAGE_TABLE_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/builder/row_sample.h"
#include "storage/builder/table_builder.h"
#include "storage/table/table_params.h"

/* What to train for. All borrowed for the call. */
struct train_job {
    struct nb_format format;
    uint32_t search;
    uint32_t columns;     /* enum table_columns */
    uint32_t n_codebooks; /* 0: as codebook_shape() says */
    progress_fn *progress;
    void *progress_arg;
};

/* Whether there is anything to train, so that the source is to be read twice.
 */
bool table_train_needed(const struct train_job *job);

/* Trains on a sample in memory. The caller ends *params with
 * table_params_fini(). NB_ERR_NOMEM. */
int table_train_on(const struct train_job *job, const struct row_sample *sample,
                   struct table_params *params);

/*
 * Reads the source and rewinds it. The same source and job give the same
 * parameters. The caller ends *params with table_params_fini(). Errors of the
 * source; NB_ERR_NOMEM.
 */
int table_train(const struct train_job *job, struct source *source,
                struct table_params *params, struct nb_errctx *err);

#endif
