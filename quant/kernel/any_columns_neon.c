/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <arm_neon.h>

#include "quant/kernel/kernels.h"
#include "quant/kernel/store.h"

static inline void finish4(const struct kernel_columns *columns,
                           const float *values, float shift, uint32_t j,
                           float *to)
{
    float32x4_t value = vld1q_f32(values + j);
    if (columns->scale != NULL) {
        value = vmulq_f32(vld1q_f32(columns->scale + j), value);
    }
    vst1q_f32(
        to, vaddq_f32(value, vmulq_n_f32(vld1q_f32(columns->mean + j), shift)));
}

static inline float finish1(const struct kernel_columns *columns,
                            const float *values, float shift, uint32_t j)
{
    float value = values[j];
    if (columns->scale != NULL) {
        value = columns->scale[j] * value;
    }
    return value + shift * columns->mean[j];
}

void nb_any_columns_neon(const struct kernel_columns *columns)
{
    const float *values = columns->values;
    uint8_t *out = columns->out;

    for (size_t i = 0; i < columns->n; i++) {
        float shift = columns->shifts[i];
        uint32_t j = 0;
        for (; j + 4 <= columns->width; j += 4) {
            float done[4];
            finish4(columns, values, shift, j, done);
            for (uint32_t k = 0; k < 4; k++) {
                store_value(out, columns->dtype, j + k, done[k]);
            }
        }
        for (; j < columns->width; j++) {
            store_value(out, columns->dtype, j,
                        finish1(columns, values, shift, j));
        }
        values += columns->width;
        out += columns->out_stride;
    }
}
