/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Layout of q4-shared and q4-shared8 rows, that of q4 (q4.h): codes, scale,
 * bias. A code is one of 16 levels of the table's codebook: value = scale *
 * level + bias.
 *
 * Of q4-shared8, which has 8 codebooks, the scale's sign bit and its two lowest
 * bits, in this order from the top, tell which the row takes, and count as
 * zeros when the scale is read.
 */
#ifndef NB_QUANT_Q4_SHARED_H
#define NB_QUANT_Q4_SHARED_H

#include "quant/codec/numbers.h"
#include "quant/codec/q4.h"

#define Q4_SHARED_BOOKS 8

/* Bits of a scale, widened to 32 where they are 16. */
static inline uint32_t q4_shared_scale_bits(const uint8_t *row, uint32_t dim,
                                            uint32_t scales)
{
    const uint8_t *at = row + q4_code_bytes(dim);
    return scales == NB_SCALES_FP16 ? get_u16(at) : get_u32(at);
}

/* The codebook these bits choose. */
static inline uint32_t q4_shared_book(uint32_t bits, uint32_t scales)
{
    return bits >> (scales == NB_SCALES_FP16 ? 15 : 31) << 2 | (bits & 3u);
}

/* The bits of the scale itself. */
static inline uint32_t q4_shared_scale_only(uint32_t bits, uint32_t scales)
{
    return bits & (scales == NB_SCALES_FP16 ? 0x7ffcu : 0x7ffffffcu);
}

static inline uint32_t q4_shared_with_book(uint32_t bits, uint32_t book,
                                           uint32_t scales)
{
    return bits | (book & 3u) |
           book >> 2 << (scales == NB_SCALES_FP16 ? 15 : 31);
}

/* The nearest scale whose book bits are zeros; scale >= 0. */
static inline uint32_t q4_shared_bits_of_scale(float scale, uint32_t scales)
{
    uint32_t bits =
        scales == NB_SCALES_FP16 ? half_from_float(scale) : float_bits(scale);
    return q4_shared_scale_only(bits + 2, scales);
}

static inline float q4_shared_float_of_bits(uint32_t bits, uint32_t scales)
{
    return scales == NB_SCALES_FP16 ? half_to_float((uint16_t)bits)
                                    : float_from_bits(bits);
}

#endif
