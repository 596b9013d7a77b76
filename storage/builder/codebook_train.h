/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Parameters of a table: room for them, and codebooks trained on rows in
 * memory. */
#ifndef NB_STORAGE_CODEBOOK_TRAIN_H
#define NB_STORAGE_CODEBOOK_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "storage/table/table_params.h"

/* Rows to train on. A plain parameter struct. */
struct codebook_job {
    struct nb_format format;
    uint32_t n_codebooks; /* 0: as many as the codec usually has, but no more
                           * than 32 rows for each can fill */
    const float *values;  /* n_rows x dim, finite */
    size_t n_rows;
};

/* How many codebooks of how many levels are to be trained, in *shape; zeros if
 * the codec has none. NB_ERR_INVALID: it cannot have as many, or has none and
 * n_codebooks is not 0; or as nb_row_bytes(). */
int codebook_shape(const struct codebook_job *job, struct nb_params *shape);

/* Trains the codebooks that *params has room for, if any, with the column
 * transform it has, on rows spread over the job's. NB_ERR_NOMEM. */
int codebook_train(const struct codebook_job *job, struct table_params *params);

#endif
