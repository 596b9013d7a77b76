/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/kernel/bags.h"
#include "quant/kernel/q4_scalar.h"
#include "quant/kernel/store.h"

static void sum_rows(const struct kernel_job *job, const struct kernel_bag *bag,
                     struct kernel_sums *sums)
{
    if (!bag->resume) {
        *sums = (struct kernel_sums){{0}, 0};
    }
    for (size_t i = 0; i < bag->n; i++) {
        const uint8_t *row = bag->rows[i];
        float scale = q4_scale(row, job->dim, job->scales);
        float bias = q4_bias(row, job->dim, job->scales);
        if (bag->weights != NULL) {
            scale = bag->weights[i] * scale;
            bias = bag->weights[i] * bias;
        }
        for (uint32_t j = 0; j < job->width; j++) {
            sums->values[j] += scale * q4_code(row, job->col + j);
        }
        sums->bias += bias;
    }
}

static void finish(const struct kernel_job *job, const struct kernel_sums *sums,
                   const struct kernel_result *result)
{
    for (uint32_t j = 0; j < job->width; j++) {
        float value = sums->values[j] + sums->bias;
        if (result->divisor > 0) {
            value /= result->divisor;
        }
        store_value(result->out, job->dtype, j, value);
    }
}

void nb_q4_sum_scalar(const struct kernel_job *job)
{
    KERNEL_FOR_BAGS(job, sum_rows, finish);
}
