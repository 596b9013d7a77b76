/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4-shared: scale * level[code] + bias, the levels being the table's. */
#include "quant/codec/q4_shared.h"
#include "quant/kernel/kernels.h"
#include "quant/kernel/q4_scalar.h"

struct row {
    const uint8_t *codes;
    const float *levels;
    float scale;
    float bias;
};

static struct row row_open(const struct kernel_job *job, const uint8_t *bytes)
{
    uint32_t bits = q4_shared_scale_bits(bytes, job->dim, job->scales);
    uint32_t book = 0;
    if (job->params->n_codebooks > 1) {
        book = q4_shared_book(bits, job->scales);
        bits = q4_shared_scale_only(bits, job->scales);
    }
    return (struct row){
        .codes = bytes,
        .levels = job->params->codebooks + (size_t)book * Q4_LEVELS,
        .scale = q4_shared_float_of_bits(bits, job->scales),
        .bias = q4_bias(bytes, job->dim, job->scales),
    };
}

static float row_level(const struct row *row, uint32_t column)
{
    return row->levels[q4_code(row->codes, column)];
}

#define OPS_CODEC  q4_shared
#define OPS_BIASED 1
#include "quant/kernel/ops_scalar_template.h"
