/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <arm_neon.h>
#include <string.h>

#include "quant/codec/q4.h"
#include "quant/kernel/kernels.h"
#include "quant/search/affine.h"

#define UNIT 16 /* columns packed at a time */

/* The conversion rounds ties to even, and gives 0 for what is negative or no
 * number. */
static inline uint16x4_t codes_of(const float *x, float32x4_t bias,
                                  float32x4_t inverse)
{
    float32x4_t v = vmulq_f32(vsubq_f32(vld1q_f32(x), bias), inverse);
    return vmovn_u32(vminq_u32(vcvtnq_u32_f32(v), vdupq_n_u32(15)));
}

static inline uint8x8_t pack_unit(const float *x, float32x4_t bias,
                                  float32x4_t inverse)
{
    uint16x8_t ab = vcombine_u16(codes_of(x, bias, inverse),
                                 codes_of(x + 4, bias, inverse));
    uint16x8_t cd = vcombine_u16(codes_of(x + 8, bias, inverse),
                                 codes_of(x + 12, bias, inverse));
    uint8x8_t low = vmovn_u16(ab);
    uint8x8_t high = vmovn_u16(cd);
    return vorr_u8(vuzp1_u8(low, high), vshl_n_u8(vuzp2_u8(low, high), 4));
}

static inline void pack_rest(const float *x, size_t n, float32x4_t bias,
                             float32x4_t inverse, uint8_t *codes)
{
    float values[UNIT] = {0};
    uint8_t packed[UNIT / 2];
    memcpy(values, x, n * sizeof(*x));
    vst1_u8(packed, pack_unit(values, bias, inverse));
    if (n % 2 != 0) {
        packed[n / 2] &= 15;
    }
    memcpy(codes, packed, (n + 1) / 2);
}

static inline void put_affine(const struct affine *affine, uint32_t scales,
                              uint8_t *at)
{
    if (scales == NB_SCALES_FP16) {
        put_u16(at, half_from_float(affine->scale));
        put_u16(at + 2, half_from_float(affine->bias));
    } else {
        put_f32(at, affine->scale);
        put_f32(at + 4, affine->bias);
    }
}

void nb_q4_pack_neon(const struct nb_format *format, const float *x,
                     size_t n_rows, const struct affine *affine, uint8_t *rows,
                     size_t stride)
{
    size_t dim = format->dim;
    size_t ahead = n_rows * dim; /* to the next call's rows, most likely */
    for (size_t i = 0; i < n_rows; i++, x += dim, rows += stride) {
        kernel_prefetch_values(x, ahead, dim);
        float32x4_t bias = vdupq_n_f32(affine[i].bias);
        float32x4_t inverse = vdupq_n_f32(1.0f / affine[i].scale);
        size_t col = 0;
        for (; col + UNIT <= dim; col += UNIT) {
            vst1_u8(rows + col / 2, pack_unit(x + col, bias, inverse));
        }
        if (col < dim) {
            pack_rest(x + col, dim - col, bias, inverse, rows + col / 2);
        }
        put_affine(&affine[i], format->scales,
                   rows + q4_code_bytes(format->dim));
    }
}
