/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Eight fp32 lanes; lanes_avx512.h says what the names mean. */
#ifndef NB_QUANT_LANES_AVX2_H
#define NB_QUANT_LANES_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/kernel/partition.h"

#define LANES        8
#define LANES_INLINE static inline __attribute__((always_inline))

typedef __m256 lanes;
typedef __m256 lanes_mask; /* all bits of a lane or none */

/* Lane numbers 0..7. */
LANES_INLINE __m256i lane_numbers(void)
{
    return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
}

LANES_INLINE lanes lanes_set(float value)
{
    return _mm256_set1_ps(value);
}

LANES_INLINE lanes lanes_load(const float *from)
{
    return _mm256_loadu_ps(from);
}

LANES_INLINE void lanes_put(float *to, lanes v)
{
    _mm256_storeu_ps(to, v);
}

LANES_INLINE lanes lanes_load_part(const float *from, size_t n)
{
    return _mm256_maskload_ps(
        from, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane_numbers()));
}

LANES_INLINE lanes lanes_fma(lanes a, lanes b, lanes c)
{
    return _mm256_fmadd_ps(a, b, c);
}

LANES_INLINE lanes lanes_min(lanes a, lanes b)
{
    return _mm256_min_ps(a, b);
}

LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
    return _mm256_max_ps(a, b);
}

LANES_INLINE lanes lanes_abs(lanes a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

LANES_INLINE lanes lanes_sqrt(lanes a)
{
    return _mm256_sqrt_ps(a);
}

LANES_INLINE lanes lanes_round(lanes a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

LANES_INLINE lanes lanes_fraction(lanes a)
{
    return a - lanes_round(a);
}

LANES_INLINE lanes lanes_half(lanes a)
{
    return _mm256_cvtph_ps(_mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

LANES_INLINE lanes lanes_inverse(lanes a)
{
    return _mm256_set1_ps(1) / a;
}

LANES_INLINE lanes_mask lanes_less(lanes a, lanes b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

LANES_INLINE lanes_mask lanes_equal(lanes a, lanes b)
{
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}

LANES_INLINE lanes_mask mask_and(lanes_mask a, lanes_mask b)
{
    return _mm256_and_ps(a, b);
}

LANES_INLINE lanes_mask mask_or(lanes_mask a, lanes_mask b)
{
    return _mm256_or_ps(a, b);
}

LANES_INLINE lanes_mask mask_without(lanes_mask a, lanes_mask b)
{
    return _mm256_andnot_ps(b, a);
}

LANES_INLINE unsigned mask_bits(lanes_mask mask)
{
    return (unsigned)_mm256_movemask_ps(mask);
}

LANES_INLINE lanes_mask mask_of(unsigned bits)
{
    __m256i bit = _mm256_sllv_epi32(_mm256_set1_epi32(1), lane_numbers());
    __m256i set = _mm256_and_si256(_mm256_set1_epi32((int)bits), bit);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, bit));
}

LANES_INLINE lanes lanes_select(lanes_mask mask, lanes a, lanes b)
{
    return _mm256_blendv_ps(b, a, mask);
}

/* Turns rows into columns: 4 x 4 blocks within each 128 bits, then the
 * off-diagonal blocks change places. */
LANES_INLINE void lanes_transpose(lanes v[LANES])
{
    for (int i = 0; i < LANES; i += 4) {
        lanes a = _mm256_unpacklo_ps(v[i], v[i + 1]);
        lanes b = _mm256_unpackhi_ps(v[i], v[i + 1]);
        lanes c = _mm256_unpacklo_ps(v[i + 2], v[i + 3]);
        lanes d = _mm256_unpackhi_ps(v[i + 2], v[i + 3]);
        v[i] = _mm256_shuffle_ps(a, c, 0x44);
        v[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        v[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        v[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    for (int k = 0; k < 4; k++) {
        lanes upper = v[k];
        v[k] = _mm256_permute2f128_ps(upper, v[4 + k], 0x20);
        v[4 + k] = _mm256_permute2f128_ps(upper, v[4 + k], 0x31);
    }
}

LANES_INLINE size_t lanes_partition(const float *x, size_t n, float low,
                                    float high, float *out)
{
    return partition_values(x, n, low, high, out);
}

#endif
