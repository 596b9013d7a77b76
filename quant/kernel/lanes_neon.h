/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Four fp32 lanes; lanes_avx512.h says what the names mean. */
#ifndef NB_QUANT_LANES_NEON_H
#define NB_QUANT_LANES_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/kernel/partition.h"

#define LANES        4
#define LANES_INLINE static inline __attribute__((always_inline))

typedef float32x4_t lanes;
typedef uint32x4_t lanes_mask; /* all bits of a lane or none */

LANES_INLINE uint32x4_t lane_bits(void)
{
    static const uint32_t bits[LANES] = {1, 2, 4, 8};
    return vld1q_u32(bits);
}

LANES_INLINE lanes lanes_set(float value)
{
    return vdupq_n_f32(value);
}

LANES_INLINE lanes lanes_load(const float *from)
{
    return vld1q_f32(from);
}

LANES_INLINE void lanes_put(float *to, lanes v)
{
    vst1q_f32(to, v);
}

LANES_INLINE lanes lanes_load_part(const float *from, size_t n)
{
    float part[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        part[i] = from[i];
    }
    return vld1q_f32(part);
}

LANES_INLINE lanes lanes_fma(lanes a, lanes b, lanes c)
{
    return vfmaq_f32(c, a, b);
}

LANES_INLINE lanes lanes_min(lanes a, lanes b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

LANES_INLINE lanes lanes_abs(lanes a)
{
    return vabsq_f32(a);
}

LANES_INLINE lanes lanes_sqrt(lanes a)
{
    return vsqrtq_f32(a);
}

LANES_INLINE lanes lanes_round(lanes a)
{
    return vrndnq_f32(a);
}

LANES_INLINE lanes lanes_fraction(lanes a)
{
    return vsubq_f32(a, vrndnq_f32(a));
}

LANES_INLINE lanes lanes_half(lanes a)
{
    return vcvt_f32_f16(vcvt_f16_f32(a));
}

LANES_INLINE lanes lanes_inverse(lanes a)
{
    return vdivq_f32(vdupq_n_f32(1), a);
}

LANES_INLINE lanes_mask lanes_less(lanes a, lanes b)
{
    return vcltq_f32(a, b);
}

LANES_INLINE lanes_mask lanes_equal(lanes a, lanes b)
{
    return vceqq_f32(a, b);
}

LANES_INLINE lanes_mask mask_and(lanes_mask a, lanes_mask b)
{
    return vandq_u32(a, b);
}

LANES_INLINE lanes_mask mask_or(lanes_mask a, lanes_mask b)
{
    return vorrq_u32(a, b);
}

LANES_INLINE lanes_mask mask_without(lanes_mask a, lanes_mask b)
{
    return vbicq_u32(a, b);
}

LANES_INLINE unsigned mask_bits(lanes_mask mask)
{
    return vaddvq_u32(vandq_u32(mask, lane_bits()));
}

LANES_INLINE lanes_mask mask_of(unsigned bits)
{
    return vtstq_u32(vdupq_n_u32(bits), lane_bits());
}

LANES_INLINE lanes lanes_select(lanes_mask mask, lanes a, lanes b)
{
    return vbslq_f32(mask, a, b);
}

/* Turns rows into columns: pairs within two rows, then pairs of pairs. */
LANES_INLINE void lanes_transpose(lanes v[LANES])
{
    float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(v[0], v[1]));
    float64x2_t b = vreinterpretq_f64_f32(vtrn2q_f32(v[0], v[1]));
    float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(v[2], v[3]));
    float64x2_t d = vreinterpretq_f64_f32(vtrn2q_f32(v[2], v[3]));
    v[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
    v[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    v[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
    v[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}

LANES_INLINE size_t lanes_partition(const float *x, size_t n, float low,
                                    float high, float *out)
{
    return partition_values(x, n, low, high, out);
}

#endif
