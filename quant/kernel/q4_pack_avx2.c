/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <immintrin.h>

#include "quant/codec/q4.h"
#include "quant/kernel/kernels.h"
#include "quant/search/affine.h"

#define UNIT 32 /* columns packed at a time */

static inline __m256i codes_of(const float *x, __m256 bias, __m256 inverse)
{
    __m256 v = _mm256_loadu_ps(x);
    v = _mm256_mul_ps(_mm256_sub_ps(v, bias), inverse);
    v = _mm256_max_ps(v, _mm256_setzero_ps()); /* a NaN gives 0 */
    v = _mm256_min_ps(v, _mm256_set1_ps(AFFINE_MAX_CODE));
    return _mm256_cvtps_epi32(v);
}

/* As in q4_pack_avx512.c. */
static inline __m128i pack_unit(const float *x, __m256 bias, __m256 inverse)
{
    __m256i ab = _mm256_packus_epi32(codes_of(x, bias, inverse),
                                     codes_of(x + 8, bias, inverse));
    __m256i cd = _mm256_packus_epi32(codes_of(x + 16, bias, inverse),
                                     codes_of(x + 24, bias, inverse));
    __m256i bytes = _mm256_permutevar8x32_epi32(
        _mm256_packus_epi16(ab, cd), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(0x1001));
    return _mm_packus_epi16(_mm256_castsi256_si128(pairs),
                            _mm256_extracti128_si256(pairs, 1));
}

static inline void pack_rest(const float *x, size_t n, __m256 bias,
                             __m256 inverse, uint8_t *codes)
{
    float values[UNIT] = {0};
    uint8_t packed[UNIT / 2];
    memcpy(values, x, n * sizeof(*x));
    _mm_storeu_si128((__m128i *)packed, pack_unit(values, bias, inverse));
    if (n % 2 != 0) {
        packed[n / 2] &= 15;
    }
    memcpy(codes, packed, (n + 1) / 2);
}

static inline void put_affine(const struct affine *affine, uint32_t scales,
                              uint8_t *at)
{
    __m128 both = _mm_castpd_ps(_mm_set_sd(get_f64(affine)));
    if (scales == NB_SCALES_FP16) {
        __m128i halves = _mm_cvtps_ph(both, _MM_FROUND_TO_NEAREST_INT);
        put_u32(at, (uint32_t)_mm_cvtsi128_si32(halves));
    } else {
        put_f64(at, _mm_cvtsd_f64(_mm_castps_pd(both)));
    }
}

void nb_q4_pack_avx2(const struct nb_format *format, const float *x,
                     size_t n_rows, const struct affine *affine, uint8_t *rows,
                     size_t stride)
{
    size_t dim = format->dim;
    size_t ahead = n_rows * dim; /* to the next call's rows, most likely */
    for (size_t i = 0; i < n_rows; i++, x += dim, rows += stride) {
        kernel_prefetch_values(x, ahead, dim);
        __m256 bias = _mm256_set1_ps(affine[i].bias);
        __m256 inverse = _mm256_set1_ps(1.0f / affine[i].scale);
        size_t col = 0;
        for (; col + UNIT <= dim; col += UNIT) {
            _mm_storeu_si128((__m128i *)(rows + col / 2),
                             pack_unit(x + col, bias, inverse));
        }
        if (col < dim) {
            pack_rest(x + col, dim - col, bias, inverse, rows + col / 2);
        }
        put_affine(&affine[i], format->scales,
                   rows + q4_code_bytes(format->dim));
    }
}
