/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Sixteen fp32 lanes and what the quantizer does with them; + - * / work as
 * they do on floats. The same names are in lanes_avx2.h and lanes_neon.h. */
#ifndef NB_QUANT_LANES_AVX512_H
#define NB_QUANT_LANES_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define LANES        16
#define LANES_INLINE static inline __attribute__((always_inline))

typedef __m512 lanes;
typedef __mmask16 lanes_mask;

LANES_INLINE lanes lanes_set(float value)
{
    return _mm512_set1_ps(value);
}

LANES_INLINE lanes lanes_load(const float *from)
{
    return _mm512_loadu_ps(from);
}

LANES_INLINE void lanes_put(float *to, lanes v)
{
    _mm512_storeu_ps(to, v);
}

/* The first n < LANES values; zeros behind. */
LANES_INLINE lanes lanes_load_part(const float *from, size_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), from);
}

/* a * b + c, rounded once. */
LANES_INLINE lanes lanes_fma(lanes a, lanes b, lanes c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* a < b ? a : b, so that a NaN and an equal give b. */
LANES_INLINE lanes lanes_min(lanes a, lanes b)
{
    return _mm512_min_ps(a, b);
}

LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
    return _mm512_max_ps(a, b);
}

LANES_INLINE lanes lanes_abs(lanes a)
{
    return _mm512_abs_ps(a);
}

LANES_INLINE lanes lanes_sqrt(lanes a)
{
    return _mm512_sqrt_ps(a);
}

/* To integers, ties to even. */
LANES_INLINE lanes lanes_round(lanes a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT);
}

/* a - lanes_round(a), exact. */
LANES_INLINE lanes lanes_fraction(lanes a)
{
    return _mm512_reduce_ps(a, _MM_FROUND_TO_NEAREST_INT);
}

/* To fp16 and back. */
LANES_INLINE lanes lanes_half(lanes a)
{
    return _mm512_cvtph_ps(_mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

/* 1 / a, off by less than 2 ulp: the estimate is good to 14 bits, and a Newton
 * step squares its error. */
LANES_INLINE lanes lanes_inverse(lanes a)
{
    lanes guess = _mm512_rcp14_ps(a);
    lanes error = _mm512_fnmadd_ps(a, guess, _mm512_set1_ps(1));
    return _mm512_fmadd_ps(error, guess, guess);
}

LANES_INLINE lanes_mask lanes_less(lanes a, lanes b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

LANES_INLINE lanes_mask lanes_equal(lanes a, lanes b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}

LANES_INLINE lanes_mask mask_and(lanes_mask a, lanes_mask b)
{
    return _kand_mask16(a, b);
}

LANES_INLINE lanes_mask mask_or(lanes_mask a, lanes_mask b)
{
    return _kor_mask16(a, b);
}

/* a and not b. */
LANES_INLINE lanes_mask mask_without(lanes_mask a, lanes_mask b)
{
    return _kandn_mask16(b, a);
}

LANES_INLINE unsigned mask_bits(lanes_mask mask)
{
    return mask;
}

LANES_INLINE lanes_mask mask_of(unsigned bits)
{
    return (lanes_mask)bits;
}

/* mask ? a : b */
LANES_INLINE lanes lanes_select(lanes_mask mask, lanes a, lanes b)
{
    return _mm512_mask_blend_ps(mask, b, a);
}

/* Interleaves the lower or upper halves of a and b within each 128 bits: of
 * floats, and of pairs of floats. */
LANES_INLINE lanes pairs_low(lanes a, lanes b)
{
    return _mm512_castpd_ps(
        _mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

LANES_INLINE lanes pairs_high(lanes a, lanes b)
{
    return _mm512_castpd_ps(
        _mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

/* Turns rows into columns. First 4 x 4 blocks within each 128 bits, which
 * leaves in v[4 i + k] columns k, 4 + k, 8 + k, 12 + k of rows 4 i .. 4 i + 3;
 * then the 128-bit blocks among the four vectors of the same k. */
LANES_INLINE void lanes_transpose(lanes v[LANES])
{
    for (int i = 0; i < LANES; i += 4) {
        lanes a = _mm512_unpacklo_ps(v[i], v[i + 1]);
        lanes b = _mm512_unpackhi_ps(v[i], v[i + 1]);
        lanes c = _mm512_unpacklo_ps(v[i + 2], v[i + 3]);
        lanes d = _mm512_unpackhi_ps(v[i + 2], v[i + 3]);
        v[i] = pairs_low(a, c);
        v[i + 1] = pairs_high(a, c);
        v[i + 2] = pairs_low(b, d);
        v[i + 3] = pairs_high(b, d);
    }
    for (int k = 0; k < 4; k++) {
        lanes a = _mm512_shuffle_f32x4(v[k], v[4 + k], 0x88);
        lanes b = _mm512_shuffle_f32x4(v[k], v[4 + k], 0xdd);
        lanes c = _mm512_shuffle_f32x4(v[8 + k], v[12 + k], 0x88);
        lanes d = _mm512_shuffle_f32x4(v[8 + k], v[12 + k], 0xdd);
        v[k] = _mm512_shuffle_f32x4(a, c, 0x88);
        v[4 + k] = _mm512_shuffle_f32x4(b, d, 0x88);
        v[8 + k] = _mm512_shuffle_f32x4(a, c, 0xdd);
        v[12 + k] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

/* Rows to lanes: the least (or greatest) of the lanes of v[i] to lane i. Halves
 * of two vectors are folded onto each other, which takes half the shuffles of a
 * transposition. */
LANES_INLINE lanes lanes_ends(const lanes v[LANES], int greatest)
{
    lanes four[4]; /* [k]: rows k, 4 + k, 8 + k, 12 + k, 128 bits each */
#define FOLD(a, b) (greatest ? _mm512_max_ps(a, b) : _mm512_min_ps(a, b))
    for (int k = 0; k < 4; k++) {
        lanes a = FOLD(_mm512_shuffle_f32x4(v[k], v[4 + k], 0x44),
                       _mm512_shuffle_f32x4(v[k], v[4 + k], 0xee));
        lanes b = FOLD(_mm512_shuffle_f32x4(v[8 + k], v[12 + k], 0x44),
                       _mm512_shuffle_f32x4(v[8 + k], v[12 + k], 0xee));
        four[k] = FOLD(_mm512_shuffle_f32x4(a, b, 0x88),
                       _mm512_shuffle_f32x4(a, b, 0xdd));
    }
    lanes a = FOLD(_mm512_unpacklo_ps(four[0], four[1]),
                   _mm512_unpackhi_ps(four[0], four[1]));
    lanes b = FOLD(_mm512_unpacklo_ps(four[2], four[3]),
                   _mm512_unpackhi_ps(four[2], four[3]));
    return FOLD(pairs_low(a, b), pairs_high(a, b));
#undef FOLD
}
#define LANES_ENDS

/* partition_values(), but for two things: the order differs, and LANES values
 * behind the n are scribbled on. */
LANES_INLINE size_t lanes_partition(const float *x, size_t n, float low,
                                    float high, float *out)
{
    size_t at = 0;
    size_t outside = 0;
    for (int inner = 0; inner < 2; inner++) {
        outside = at;
        for (size_t i = 0; i < n; i += LANES) {
            unsigned here = n - i < LANES ? (1u << (n - i)) - 1 : 0xffff;
            lanes v = _mm512_maskz_loadu_ps((__mmask16)here, x + i);
            unsigned within = _mm512_mask_cmp_ps_mask(
                _mm512_cmp_ps_mask(lanes_set(low), v, _CMP_LE_OQ), v,
                lanes_set(high), _CMP_LE_OQ);
            unsigned mask = here & (inner ? within : ~within);
            lanes_put(out + at, _mm512_maskz_compress_ps((__mmask16)mask, v));
            at += (size_t)__builtin_popcount(mask);
        }
    }
    return outside;
}

#endif
