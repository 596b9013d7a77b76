/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* fp16: the values themselves. */
#include "quant/codec/numbers.h"
#include "quant/kernel/kernels.h"

struct row {
    const uint8_t *values;
};

static struct row row_open(const struct kernel_job *job, const uint8_t *bytes)
{
    (void)job;
    return (struct row){bytes};
}

static float row_level(const struct row *row, uint32_t column)
{
    return number_get(row->values, NB_SCALES_FP16, column);
}

#define OPS_CODEC  fp16
#define OPS_BIASED 0
#include "quant/kernel/ops_scalar_template.h"
