/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/kernel/q4_avx512.h"

void nb_any_columns_avx512(const struct kernel_columns *columns)
{
    size_t value_bytes = columns->dtype == NB_FP32 ? 4 : 2;
    const float *values = columns->values;
    uint8_t *out = columns->out;

    for (size_t i = 0; i < columns->n; i++) {
        __m512 shift = _mm512_set1_ps(columns->shifts[i]);
        for (uint32_t j = 0; j < columns->width; j += 16) {
            size_t n = columns->width - j;
            __mmask16 here = q4_mask(n);
            __m512 value = _mm512_maskz_loadu_ps(here, values + j);
            __m512 mean = _mm512_maskz_loadu_ps(here, columns->mean + j);
            if (columns->scale != NULL) {
                value = _mm512_mul_ps(
                    _mm512_maskz_loadu_ps(here, columns->scale + j), value);
            }
            value = _mm512_add_ps(value, _mm512_mul_ps(shift, mean));
            q4_store(out + j * value_bytes, columns->dtype, value, n);
        }
        values += columns->width;
        out += columns->out_stride;
    }
}
