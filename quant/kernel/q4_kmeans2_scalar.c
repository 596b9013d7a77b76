/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4-kmeans2: level[code], of the codebook that the row takes. */
#include "quant/codec/q4_kmeans2.h"
#include "quant/kernel/kernels.h"
#include "quant/kernel/q4_scalar.h"

struct row {
    const uint8_t *codes;
    const float *levels;
};

static struct row row_open(const struct kernel_job *job, const uint8_t *bytes)
{
    uint32_t book = q4_kmeans2_book(bytes + q4_code_bytes(job->dim),
                                    job->params->n_codebooks);
    return (struct row){bytes,
                        job->params->codebooks + (size_t)book * Q4_LEVELS};
}

static float row_level(const struct row *row, uint32_t column)
{
    return row->levels[q4_code(row->codes, column)];
}

#define OPS_CODEC  q4_kmeans2
#define OPS_BIASED 0
#include "quant/kernel/ops_scalar_template.h"
