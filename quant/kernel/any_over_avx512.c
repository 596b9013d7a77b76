/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <immintrin.h>

#include "quant/kernel/kernels.h"

static inline __mmask16 over(__m512 v, __m512 limit)
{
    return _mm512_cmp_ps_mask(_mm512_abs_ps(v), limit, _CMP_NLE_UQ);
}

void nb_any_over_avx512(const float *x, size_t n, float limit, size_t *at)
{
    __m512 most = _mm512_set1_ps(limit);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __mmask16 ab = _kor_mask16(over(_mm512_loadu_ps(x + i), most),
                                   over(_mm512_loadu_ps(x + i + 16), most));
        __mmask16 cd = _kor_mask16(over(_mm512_loadu_ps(x + i + 32), most),
                                   over(_mm512_loadu_ps(x + i + 48), most));
        if (!_kortestz_mask16_u8(ab, cd)) {
            break;
        }
    }
    for (; i < n; i += 16) {
        unsigned here = n - i < 16 ? (1u << (n - i)) - 1 : 0xffff;
        unsigned found =
            over(_mm512_maskz_loadu_ps((__mmask16)here, x + i), most);
        if (found != 0) {
            *at = i + (size_t)__builtin_ctz(found);
            return;
        }
    }
    *at = n;
}
