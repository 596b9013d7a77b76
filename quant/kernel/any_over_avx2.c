/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <immintrin.h>

#include "quant/kernel/kernels.h"

static inline __m256 over(const float *x, __m256 limit)
{
    __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_loadu_ps(x));
    return _mm256_cmp_ps(size, limit, _CMP_NLE_UQ);
}

void nb_any_over_avx2(const float *x, size_t n, float limit, size_t *at)
{
    __m256 most = _mm256_set1_ps(limit);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256 ab = _mm256_or_ps(over(x + i, most), over(x + i + 8, most));
        __m256 cd =
            _mm256_or_ps(over(x + i + 16, most), over(x + i + 24, most));
        if (_mm256_movemask_ps(_mm256_or_ps(ab, cd)) != 0) {
            break;
        }
    }
    while (i < n && __builtin_fabsf(x[i]) <= limit) {
        i++;
    }
    *at = i;
}
