/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Encodes a block of rows and measures what that lost. */
#ifndef NB_STORAGE_BLOCK_ENCODE_H
#define NB_STORAGE_BLOCK_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "storage/builder/build_pipeline.h"

struct encode_result {
    struct error_sums sums;
    size_t n_residuals;   /* rows that were protected */
    uint64_t n_nonfinite; /* values that NAN_ZERO set to 0 */
    uint64_t n_lost;      /* rows of which zeros would have lost less */
};

/* Encodes n_rows of `values` (which NAN_ZERO changes), the first being row
 * `first_row` of the table, into `rows`, and the residual rows of
 * those that the job protects into `residuals` (NULL if it protects none).
 * NB_ERR_NONFINITE, NB_ERR_OVERFLOW, naming row, line and column. */
int block_encode(const struct build_job *job, uint64_t first_row, float *values,
                 size_t n_rows, uint8_t *rows, uint8_t *residuals,
                 struct encode_result *result, struct nb_errctx *err);

/* Puts the keys of n_rows rows behind their row bytes. */
void block_put_keys(const struct build_job *job, const uint64_t *keys,
                    size_t n_rows, uint8_t *rows);

/* Sets NaN and Inf to 0; returns how many. */
uint64_t zero_nonfinite(float *values, size_t n);

#endif
