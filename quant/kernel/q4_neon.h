/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What the NEON kernels of q4 share. A unit of 16 columns is in order from the
 * start: the low and high nibbles of its 8 bytes are zipped. */
#ifndef NB_QUANT_Q4_NEON_H
#define NB_QUANT_Q4_NEON_H

#include <arm_neon.h>

#include "quant/kernel/bags.h"
#include "quant/kernel/q4_tile.h"

#define Q4_INLINE static inline __attribute__((always_inline))
#define Q4_LANES  4

/* 16 columns. */
struct q4_values {
    float32x4_t of[Q4_UNIT / Q4_LANES];
};

/* Bytes of the tile's unit u of `units`, zeros behind the row. */
Q4_INLINE uint8x8_t q4_bytes(const uint8_t *row, const struct q4_tile *tile,
                             unsigned u, unsigned units)
{
    if (u + 1 < units) {
        return vld1_u8(row + tile->at + (size_t)u * Q4_UNIT_BYTES);
    }
    return vcreate_u8(get_u64(row + tile->tail_at) >> tile->tail_shift);
}

Q4_INLINE struct q4_values q4_codes_of(uint8x8_t bytes)
{
    uint8x8_t even = vand_u8(bytes, vdup_n_u8(0xf));
    uint8x8_t odd = vshr_n_u8(bytes, 4);
    uint16x8_t low = vmovl_u8(vzip1_u8(even, odd));
    uint16x8_t high = vmovl_u8(vzip2_u8(even, odd));
    return (struct q4_values){{vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
                               vcvtq_f32_u32(vmovl_high_u16(low)),
                               vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
                               vcvtq_f32_u32(vmovl_high_u16(high))}};
}

/* Scale and bias of a row. */
Q4_INLINE float32x2_t q4_params(const uint8_t *row, size_t at, bool half)
{
    if (half) {
        float16x4_t params =
            vreinterpret_f16_u32(vdup_n_u32(get_u32(row + at)));
        return vget_low_f32(vcvt_f32_f16(params));
    }
    return vcreate_f32(get_u64(row + at));
}

/* Values of codes. */
Q4_INLINE struct q4_values q4_decoded(struct q4_values codes,
                                      float32x2_t params)
{
    float32x4_t bias = vdupq_lane_f32(params, 1);
#pragma GCC unroll 4
    for (unsigned k = 0; k < 4; k++) {
        codes.of[k] = vaddq_f32(vmulq_lane_f32(codes.of[k], params, 0), bias);
    }
    return codes;
}

Q4_INLINE uint16x4_t q4_to_bf16(float32x4_t values)
{
    uint32x4_t bits = vreinterpretq_u32_f32(values);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t half = vaddq_u32(odd, vdupq_n_u32(0x7fff));
    uint16x4_t quiet = vshrn_n_u32(vorrq_u32(bits, vdupq_n_u32(0x400000)), 16);
    uint16x4_t number = vmovn_u32(vceqq_f32(values, values));
    return vbsl_u16(number, vaddhn_u32(bits, half), quiet);
}

Q4_INLINE void q4_store4(uint8_t *out, uint32_t dtype, float32x4_t values)
{
    if (dtype == NB_FP32) {
        vst1q_u8(out, vreinterpretq_u8_f32(values));
    } else if (dtype == NB_FP16) {
        vst1_u8(out, vreinterpret_u8_f16(vcvt_f16_f32(values)));
    } else {
        vst1_u8(out, vreinterpret_u8_u16(q4_to_bf16(values)));
    }
}

Q4_INLINE void q4_store16(uint8_t *out, uint32_t dtype, struct q4_values values)
{
    size_t value_bytes = dtype == NB_FP32 ? 4 : 2;

#pragma GCC unroll 4
    for (unsigned k = 0; k < 4; k++) {
        q4_store4(out + k * Q4_LANES * value_bytes, dtype, values.of[k]);
    }
}

/* Writes the first n of 16 values. */
Q4_INLINE void q4_store(uint8_t *out, uint32_t dtype, struct q4_values values,
                        size_t n)
{
    if (n >= Q4_UNIT) {
        q4_store16(out, dtype, values);
        return;
    }
    uint8_t all[Q4_UNIT * sizeof(float)];
    q4_store16(all, dtype, values);
    memcpy(out, all, n * (dtype == NB_FP32 ? 4 : 2));
}

Q4_INLINE struct q4_values q4_load(const float *from)
{
    return (struct q4_values){{vld1q_f32(from), vld1q_f32(from + 4),
                               vld1q_f32(from + 8), vld1q_f32(from + 12)}};
}

Q4_INLINE void q4_put(float *to, struct q4_values values)
{
#pragma GCC unroll 4
    for (unsigned k = 0; k < 4; k++) {
        vst1q_f32(to + k * Q4_LANES, values.of[k]);
    }
}

#endif
