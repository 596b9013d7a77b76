/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * What the AVX-512 kernels of q4 share.
 *
 * A unit of 16 columns is 8 bytes: broadcast to all quadwords and shifted
 * right by 0, 4, .. 28 bits, its codes stand in the low four bits of the 16
 * doublewords, in the order 0, 8, 1, 9, .. 7, 15. vpermps looks at just these
 * bits of an index, so that a table of the 16 values of the row turns them into
 * floats with no mask and no conversion.
 */
#ifndef NB_QUANT_Q4_AVX512_H
#define NB_QUANT_Q4_AVX512_H

#include <immintrin.h>

#include "quant/kernel/bags.h"
#include "quant/kernel/q4_tile.h"

#define Q4_INLINE static inline __attribute__((always_inline))

/* Shift counts of a unit whose codes begin at bit `first`. */
Q4_INLINE __m512i q4_shifts(unsigned first)
{
    return _mm512_add_epi64(_mm512_setr_epi64(0, 4, 8, 12, 16, 20, 24, 28),
                            _mm512_set1_epi64(first));
}

/* Codes of the unit of 8 bytes at `codes`, as indices. */
Q4_INLINE __m512i q4_indices(const uint8_t *codes, __m512i shifts)
{
    return _mm512_srlv_epi64(_mm512_set1_epi64((long long)get_u64(codes)),
                             shifts);
}

/* Turns a unit's values into the order of columns. */
Q4_INLINE __m512 q4_ordered(__m512 values)
{
    return _mm512_permutexvar_ps(
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15),
        values);
}

/* Puts the four bytes at `from` into the lanes of the mask. From memory it
 * takes no shuffle port; the compiler would go through a general register. */
Q4_INLINE void q4_put_lanes(__m512i *all, __mmask16 mask, const void *from)
{
    const uint32_t *value = from;
    __asm__("vpbroadcastd %1, %0%{%2%}" : "+v"(*all) : "m"(*value), "Yk"(mask));
}

Q4_INLINE __m512 q4_codes(void)
{
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/* Scales and biases of four rows: s b s b s b s b. */
Q4_INLINE __m256 q4_params4(const uint8_t *const *rows, size_t at, bool half)
{
    if (half) {
        return _mm256_cvtph_ps(_mm_setr_epi32(
            (int)get_u32(rows[0] + at), (int)get_u32(rows[1] + at),
            (int)get_u32(rows[2] + at), (int)get_u32(rows[3] + at)));
    }
    return _mm256_castpd_ps(
        _mm256_setr_pd(get_f64(rows[0] + at), get_f64(rows[1] + at),
                       get_f64(rows[2] + at), get_f64(rows[3] + at)));
}

/* Of one row: s b in the low two. */
Q4_INLINE __m128 q4_params(const uint8_t *row, size_t at, bool half)
{
    if (half) {
        return _mm_cvtph_ps(_mm_cvtsi32_si128((int)get_u32(row + at)));
    }
    return _mm_castpd_ps(_mm_set_sd(get_f64(row + at)));
}

/* The 16 values of a row. */
Q4_INLINE __m512 q4_row_values(const struct kernel_job *job,
                               const struct q4_tile *tile, const uint8_t *row)
{
    __m128 p = q4_params(row, tile->param_at, job->scales == NB_SCALES_FP16);
    return _mm512_add_ps(_mm512_mul_ps(_mm512_broadcastss_ps(p), q4_codes()),
                         _mm512_broadcastss_ps(_mm_movehdup_ps(p)));
}

/* bf16, to nearest, ties to even. */
Q4_INLINE __m256i q4_to_bf16(__m512 values)
{
    __m512i bits = _mm512_castps_si512(values);
    __m512i odd =
        _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(
        _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
    rounded =
        _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

/* The first n of 16 lanes. */
Q4_INLINE __mmask16 q4_mask(size_t n)
{
    return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff);
}

/* Writes the first n of 16 values. */
Q4_INLINE void q4_store(uint8_t *out, uint32_t dtype, __m512 values, size_t n)
{
    __mmask16 mask = q4_mask(n);
    if (dtype == NB_FP32) {
        _mm512_mask_storeu_ps(out, mask, values);
    } else if (dtype == NB_FP16) {
        _mm256_mask_storeu_epi16(
            out, mask, _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT));
    } else {
        _mm256_mask_storeu_epi16(out, mask, q4_to_bf16(values));
    }
}

#endif
