/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/kernel/q4_avx2.h"

/* The first n of 8 lanes. */
Q4_INLINE __m256i first_lanes(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

Q4_INLINE void store(uint8_t *out, uint32_t dtype, __m256 value, size_t n)
{
    uint8_t all[8 * sizeof(float)];

    if (n >= 8) {
        q4_store8(out, dtype, value);
        return;
    }
    q4_store8(all, dtype, value);
    memcpy(out, all, n * (dtype == NB_FP32 ? 4 : 2));
}

void nb_any_columns_avx2(const struct kernel_columns *columns)
{
    size_t value_bytes = columns->dtype == NB_FP32 ? 4 : 2;
    const float *values = columns->values;
    uint8_t *out = columns->out;

    for (size_t i = 0; i < columns->n; i++) {
        __m256 shift = _mm256_set1_ps(columns->shifts[i]);
        for (uint32_t j = 0; j < columns->width; j += 8) {
            size_t n = columns->width - j;
            __m256i here = first_lanes(n);
            __m256 value = _mm256_maskload_ps(values + j, here);
            __m256 mean = _mm256_maskload_ps(columns->mean + j, here);
            if (columns->scale != NULL) {
                value = _mm256_mul_ps(
                    _mm256_maskload_ps(columns->scale + j, here), value);
            }
            value = _mm256_add_ps(value, _mm256_mul_ps(shift, mean));
            store(out + j * value_bytes, columns->dtype, value, n);
        }
        values += columns->width;
        out += columns->out_stride;
    }
}
