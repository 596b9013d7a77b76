/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4-kmeans: level[code], the levels standing in the row. */
#include "quant/codec/numbers.h"
#include "quant/codec/q4.h"
#include "quant/kernel/kernels.h"
#include "quant/kernel/q4_scalar.h"

struct row {
    const uint8_t *codes;
    float levels[Q4_LEVELS];
};

static struct row row_open(const struct kernel_job *job, const uint8_t *bytes)
{
    const uint8_t *numbers = bytes + q4_code_bytes(job->dim);
    struct row row = {.codes = bytes};
    for (size_t k = 0; k < Q4_LEVELS; k++) {
        row.levels[k] = number_get(numbers, job->scales, k);
    }
    return row;
}

static float row_level(const struct row *row, uint32_t column)
{
    return row->levels[q4_code(row->codes, column)];
}

#define OPS_CODEC  q4_kmeans
#define OPS_BIASED 0
#include "quant/kernel/ops_scalar_template.h"
