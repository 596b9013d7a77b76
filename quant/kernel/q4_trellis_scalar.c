/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4-trellis: scale * level + bias, where the code and the bits u of the three
 * columns before tell the level. */
#include "quant/codec/q4_trellis.h"
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
    return (struct row){
        .codes = bytes,
        .levels = job->params->codebooks,
        .scale = q4_scale(bytes, job->dim, job->scales),
        .bias = q4_bias(bytes, job->dim, job->scales),
    };
}

static float row_level(const struct row *row, uint32_t column)
{
    uint32_t bits = 0;
    for (uint32_t back = column < 3 ? column : 3; back > 0; back--) {
        bits = bits << 1 | (q4_code(row->codes, column - back) & 1u);
    }
    return row->levels[q4_trellis_level(q4_code(row->codes, column), &bits)];
}

#define OPS_CODEC  q4_trellis
#define OPS_BIASED 1
#include "quant/kernel/ops_scalar_template.h"
