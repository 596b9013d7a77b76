/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q8: scale * code + bias. */
#include "quant/codec/numbers.h"
#include "quant/kernel/kernels.h"

struct row {
    const uint8_t *codes;
    float scale;
    float bias;
};

static struct row row_open(const struct kernel_job *job, const uint8_t *bytes)
{
    const uint8_t *numbers = bytes + job->dim;
    return (struct row){bytes, number_get(numbers, job->scales, 0),
                        number_get(numbers, job->scales, 1)};
}

static float row_level(const struct row *row, uint32_t column)
{
    return row->codes[column];
}

#define OPS_CODEC  q8
#define OPS_BIASED 1
#include "quant/kernel/ops_scalar_template.h"
