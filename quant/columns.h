/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The column transform: a value is stored as z = (x - mean) / scale of its
 * column. Kernels know nothing of it: they give fp32 into a small tile on the
 * stack, and what they gave is finished there, once a bag.
 *
 * Sum and mean are linear, so that a bag's sum of w * x is scale * (sum of
 * w * z) + (sum of w) * mean. Scales are greater than 0 and rounding is
 * monotone, so that the greatest x is that of the greatest z.
 */
#ifndef NB_QUANT_COLUMNS_H
#define NB_QUANT_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

#include "quant/kernel/kernels.h"
#include "quant/nibble.h"

/* Values of rows that are stored at a time, or one row. */
#define COLUMNS_BLOCK 16384

/* What a request needs to undo it. */
struct columns {
    const float *mean; /* NULL: nothing to undo */
    const float *scale;
    const struct kernel *kernel;
    const float *shares; /* of a job's rows in the means; NULL: its weights */
    double weight;       /* of a sum in parts, so far */
    bool rows;           /* a bag is a row, and one of zeros is none */
};

static inline bool params_have_columns(const struct nb_params *params)
{
    return params != NULL && params->column_mean != NULL;
}

/* Whether the means that scales need are there. */
static inline bool params_columns_good(const struct nb_params *params)
{
    return params == NULL || params->column_scale == NULL ||
           params->column_mean != NULL;
}

/* z of n_rows x dim values; means there are. */
void columns_apply(const struct nb_params *params, uint32_t dim, const float *x,
                   size_t n_rows, float *z);

void columns_init(struct columns *columns, const struct nb_rows *rows);

/* Runs the job by a kernel of the op, KERNEL_sum or KERNEL_max, and undoes the
 * transform; means there are. A job of parts is to be run in their order. */
void columns_run(struct columns *columns, const struct kernel *kernel,
                 const struct kernel_job *job);

/* Whether a row is all zeros. With a column transform that stands for no row,
 * as a packed lookup has it for an id that is not there; no row of a table is.
 */
bool columns_row_is_none(const uint8_t *row, size_t row_bytes);

/* Decodes the job's rows, KERNEL_BLOCK at most, by a kernel of KERNEL_max. */
void columns_decode(struct columns *columns, const struct kernel *max,
                    const struct kernel_job *job);

#endif
