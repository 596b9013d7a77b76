/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * What the AVX2 kernels of q4 share. The 8 bytes of a unit of 16 columns are
 * widened to 32 bits each; masking gives the even columns, shifting the odd.
 */
#ifndef NB_QUANT_Q4_AVX2_H
#define NB_QUANT_Q4_AVX2_H

#include <immintrin.h>

#include "quant/kernel/bags.h"
#include "quant/kernel/q4_tile.h"

#define Q4_INLINE static inline __attribute__((always_inline))

/* 16 columns, in two parts. */
struct q4_pair {
    __m256 even;
    __m256 odd;
};

Q4_INLINE struct q4_pair q4_codes_of(uint64_t codes)
{
    __m256i bytes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)codes));
    __m256i even = _mm256_and_si256(bytes, _mm256_set1_epi32(0xf));
    __m256i odd = _mm256_srli_epi32(bytes, 4);
    return (struct q4_pair){_mm256_cvtepi32_ps(even), _mm256_cvtepi32_ps(odd)};
}

/* Codes of the tile's unit u of `units`, both constants. */
Q4_INLINE struct q4_pair q4_unit(const uint8_t *row, const struct q4_tile *tile,
                                 const unsigned u, const unsigned units)
{
    if (u + 1 < units) {
        return q4_codes_of(get_u64(row + tile->at + u * Q4_UNIT_BYTES));
    }
    return q4_codes_of(get_u64(row + tile->tail_at) >> tile->tail_shift);
}

/* a * b + c. Where the product is exact (a constant) it may be fused: the
 * result is the same. */
Q4_INLINE __m256 q4_mul_add(__m256 a, __m256 b, __m256 c, const bool exact)
{
    return exact ? _mm256_fmadd_ps(a, b, c)
                 : _mm256_add_ps(_mm256_mul_ps(a, b), c);
}

/* Scale and bias of a row: s b in the low two. */
Q4_INLINE __m128 q4_params(const uint8_t *row, size_t at, bool half)
{
    if (half) {
        return _mm_cvtph_ps(_mm_cvtsi32_si128((int)get_u32(row + at)));
    }
    return _mm_castpd_ps(_mm_set_sd(get_f64(row + at)));
}

Q4_INLINE __m128i q4_to_bf16(__m256 values)
{
    __m256i bits = _mm256_castps_si256(values);
    __m256i odd =
        _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(
        _mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i nan =
        _mm256_castps_si256(_mm256_cmp_ps(values, values, _CMP_UNORD_Q));
    rounded = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(rounded),
                            _mm256_extracti128_si256(rounded, 1));
}

Q4_INLINE void q4_store8(uint8_t *out, uint32_t dtype, __m256 values)
{
    if (dtype == NB_FP32) {
        _mm256_storeu_ps((float *)(void *)out, values);
    } else if (dtype == NB_FP16) {
        _mm_storeu_si128((__m128i *)(void *)out,
                         _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT));
    } else {
        _mm_storeu_si128((__m128i *)(void *)out, q4_to_bf16(values));
    }
}

/* Puts a unit's columns in order. */
Q4_INLINE struct q4_pair q4_ordered(struct q4_pair pair)
{
    __m256 low = _mm256_unpacklo_ps(pair.even, pair.odd);
    __m256 high = _mm256_unpackhi_ps(pair.even, pair.odd);
    return (struct q4_pair){_mm256_permute2f128_ps(low, high, 0x20),
                            _mm256_permute2f128_ps(low, high, 0x31)};
}

/* Writes the first n of 16 values in order. */
Q4_INLINE void q4_store(uint8_t *out, uint32_t dtype, struct q4_pair values,
                        size_t n)
{
    size_t value_bytes = dtype == NB_FP32 ? 4 : 2;

    if (n >= Q4_UNIT) {
        q4_store8(out, dtype, values.even);
        q4_store8(out + 8 * value_bytes, dtype, values.odd);
        return;
    }
    uint8_t all[Q4_UNIT * sizeof(float)];
    q4_store8(all, dtype, values.even);
    q4_store8(all + 8 * value_bytes, dtype, values.odd);
    memcpy(out, all, n * value_bytes);
}

#endif
