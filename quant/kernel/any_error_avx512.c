/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <immintrin.h>

#include "quant/kernel/kernels.h"

/* Folds the upper half of the lanes onto the lower, three times. */
static inline double fold_sum(__m512d v)
{
    __m256d four =
        _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four),
                             _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

/* Zeros behind the row change no sum. */
void nb_any_error_avx512(const float *x, const float *y, size_t dim,
                         struct nb_row_error *error)
{
    __m512d sq_err = _mm512_setzero_pd();
    __m512d sq_x = sq_err;
    __m512d sq_y = sq_err;
    __m512d dot = sq_err;
    __m512d max_abs = sq_err;
    for (size_t i = 0; i < dim; i += 8) {
        unsigned bits = dim - i < 8 ? (1u << (dim - i)) - 1 : 0xff;
        __mmask8 here = (__mmask8)bits;
        __m512d a = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(here, x + i));
        __m512d b = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(here, y + i));
        __m512d e = _mm512_sub_pd(a, b);
        sq_err = _mm512_add_pd(sq_err, _mm512_mul_pd(e, e));
        sq_x = _mm512_add_pd(sq_x, _mm512_mul_pd(a, a));
        sq_y = _mm512_add_pd(sq_y, _mm512_mul_pd(b, b));
        dot = _mm512_add_pd(dot, _mm512_mul_pd(a, b));
        max_abs = _mm512_max_pd(_mm512_abs_pd(e), max_abs);
    }
    error->sq_err = fold_sum(sq_err);
    error->sq_x = fold_sum(sq_x);
    error->sq_y = fold_sum(sq_y);
    error->dot = fold_sum(dot);
    error->max_abs = _mm512_reduce_max_pd(max_abs);
}
