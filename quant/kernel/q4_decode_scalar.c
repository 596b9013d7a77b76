/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/kernel/kernels.h"
#include "quant/kernel/q4_scalar.h"
#include "quant/kernel/store.h"

void nb_q4_decode_scalar(const struct kernel_job *job)
{
    uint8_t *out = job->out;

    for (size_t i = 0; i < job->n_rows; i++) {
        const uint8_t *row = job->rows[i];
        float scale = q4_scale(row, job->dim, job->scales);
        float bias = q4_bias(row, job->dim, job->scales);
        for (uint32_t j = 0; j < job->dim; j++) {
            store_value(out, job->dtype, j,
                        scale * (float)q4_code(row, j) + bias);
        }
        out += job->out_stride;
    }
}
