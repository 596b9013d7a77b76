/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* fp16 (IEEE binary16) and bf16 from and to fp32, rounding to nearest, ties to
 * even; NaN stays NaN and turns quiet. Bit-equal to F16C. */
#ifndef NB_QUANT_HALF_H
#define NB_QUANT_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u) {
        uint32_t quiet = magnitude > 0x7c00u ? 0x400000u : 0;
        return float_from_bits(sign | 0x7f800000u | magnitude << 13 | quiet);
    }
    /* The fp16 exponent read as an fp32 one is 2^112 too small; the product is
     * exact, for subnormals too. */
    float value = float_from_bits(magnitude << 13) * 0x1p112f;
    return float_from_bits(sign | float_bits(value));
}

static inline uint16_t half_from_float(float value)
{
    uint32_t bits = float_bits(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u | (bits >> 13 & 0x3ffu));
    }
    if (bits >= 0x477ff000u) { /* 65520, which rounds to infinity */
        return (uint16_t)(sign | 0x7c00u);
    }
    if (bits < 0x38800000u) { /* below 2^-14: a multiple of 2^-24, ulp of 0.5 */
        uint32_t sum = float_bits(float_from_bits(bits) + 0.5f);
        return (uint16_t)(sign | (sum - 0x3f000000u));
    }
    bits += 0xfffu + (bits >> 13 & 1u); /* to nearest, ties to even */
    return (uint16_t)(sign | (bits - (112u << 23)) >> 13);
}

static inline float bf16_to_float(uint16_t bf16)
{
    return float_from_bits((uint32_t)bf16 << 16);
}

static inline uint16_t bf16_from_float(float value)
{
    uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(bits >> 16 | 0x40u);
    }
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

#endif
