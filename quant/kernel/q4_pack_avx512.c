/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <immintrin.h>

#include "quant/codec/q4.h"
#include "quant/kernel/kernels.h"
#include "quant/search/affine.h"

#define UNIT 64 /* columns packed at a time */

/* Codes of 16 of the n columns from `first` on; zeros for what is missing. */
static inline __m512i codes_of(const float *x, size_t first, size_t n,
                               __m512 bias, __m512 inverse)
{
    size_t some = n > first ? n - first : 0;
    unsigned bits = some < 16 ? (1u << some) - 1 : 0xffff;
    __mmask16 mask = (__mmask16)bits;
    __m512 v = _mm512_maskz_loadu_ps(mask, x + (some > 0 ? first : 0));
    v = _mm512_mul_ps(_mm512_sub_ps(v, bias), inverse);
    v = _mm512_max_ps(v, _mm512_setzero_ps()); /* a NaN gives 0 */
    v = _mm512_min_ps(v, _mm512_set1_ps(AFFINE_MAX_CODE));
    return _mm512_maskz_cvt_roundps_epi32(
        mask, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* Packs n <= UNIT columns. Narrowing interleaves the vectors in blocks of four
 * columns; one permutation of the blocks puts them right. */
static inline __m256i pack_unit(const float *x, size_t n, __m512 bias,
                                __m512 inverse)
{
    __m512i ab = _mm512_packus_epi32(codes_of(x, 0, n, bias, inverse),
                                     codes_of(x, 16, n, bias, inverse));
    __m512i cd = _mm512_packus_epi32(codes_of(x, 32, n, bias, inverse),
                                     codes_of(x, 48, n, bias, inverse));
    __m512i bytes = _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
        _mm512_packus_epi16(ab, cd));
    /* Even column + 16 times the odd one. */
    return _mm512_cvtepi16_epi8(
        _mm512_maddubs_epi16(bytes, _mm512_set1_epi16(0x1001)));
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

void nb_q4_pack_avx512(const struct nb_format *format, const float *x,
                       size_t n_rows, const struct affine *affine,
                       uint8_t *rows, size_t stride)
{
    size_t dim = format->dim;
    size_t ahead = n_rows * dim; /* to the next call's rows, most likely */
    for (size_t i = 0; i < n_rows; i++, x += dim, rows += stride) {
        kernel_prefetch_values(x, ahead, dim);
        __m512 bias = _mm512_set1_ps(affine[i].bias);
        __m512 inverse = _mm512_set1_ps(1.0f / affine[i].scale);
        size_t col = 0;
        for (; col + UNIT <= dim; col += UNIT) {
            _mm256_storeu_si256((__m256i *)(rows + col / 2),
                                pack_unit(x + col, UNIT, bias, inverse));
        }
        if (col < dim) {
            size_t bytes = (dim - col + 1) / 2;
            _mm256_mask_storeu_epi8(
                rows + col / 2, (__mmask32)((1ull << bytes) - 1),
                pack_unit(x + col, dim - col, bias, inverse));
        }
        put_affine(&affine[i], format->scales,
                   rows + q4_code_bytes(format->dim));
    }
}
