/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "quant/kernel/bags.h"
#include "quant/kernel/q4_scalar.h"
#include "quant/kernel/store.h"

static void max_rows(const struct kernel_job *job, const struct kernel_bag *bag,
                     struct kernel_sums *sums)
{
    if (!bag->resume) {
        memset(sums->values, 0, sizeof(sums->values));
    }
    for (size_t i = 0; i < bag->n; i++) {
        const uint8_t *row = bag->rows[i];
        float scale = q4_scale(row, job->dim, job->scales);
        float bias = q4_bias(row, job->dim, job->scales);
        bool first = i == 0 && !bag->resume;
        for (uint32_t j = 0; j < job->width; j++) {
            float value = scale * (float)q4_code(row, job->col + j) + bias;
            if (first || value > sums->values[j]) {
                sums->values[j] = value;
            }
        }
    }
}

static void finish(const struct kernel_job *job, const struct kernel_sums *sums,
                   const struct kernel_result *result)
{
    for (uint32_t j = 0; j < job->width; j++) {
        store_value(result->out, job->dtype, j, sums->values[j]);
    }
}

void nb_q4_max_scalar(const struct kernel_job *job)
{
    KERNEL_FOR_BAGS(job, max_rows, finish);
}
