/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The affine row: value = scale * code + bias, code 0..15. How a range [lo, hi]
 * becomes scale and bias, and a value its code, as PyTorch does both. All fp32,
 * nothing contracted.
 */
#ifndef NB_QUANT_AFFINE_H
#define NB_QUANT_AFFINE_H

#include <stdint.h>

#include "quant/half.h"
#include "quant/nibble.h"

#define AFFINE_MAX_CODE 15.0f

/* Both exactly as stored: numbers of the scale type. */
struct affine {
    float scale; /* never 0, its inverse never infinite; may be negative */
    float bias;
};

/* The nearest number of the scale type. */
static inline float affine_store(float value, uint32_t scales)
{
    return scales == NB_SCALES_FP16 ? half_to_float(half_from_float(value))
                                    : value;
}

/* Scale of levels from `bias`, already stored, to hi; 0 if it underflows. */
static inline float affine_raw_scale(float bias, float hi, uint32_t scales)
{
    float range = hi - bias;
    return range == 0 ? 1.0f : affine_store(range / AFFINE_MAX_CODE, scales);
}

/* A constant row may lie below its rounded bias: the scale is then negative. */
static inline struct affine affine_of_range(float lo, float hi, uint32_t scales)
{
    float bias = affine_store(lo, scales);
    float scale = affine_raw_scale(bias, hi, scales);
    if (scale == 0 || __builtin_isinf(1.0f / scale)) {
        scale = 1.0f;
    }
    return (struct affine){.scale = scale, .bias = bias};
}

/* The nearest code to t, ties to even; 0 for a NaN. Adding 1.5 * 2^23 leaves
 * no fraction bits, so the sum rounds and the difference is exact. */
static inline float affine_round(float t)
{
    t = t > 0 ? t : 0;
    t = t < AFFINE_MAX_CODE ? t : AFFINE_MAX_CODE;
    return (t + 0x1.8p23f) - 0x1.8p23f;
}

#endif
