/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Layout of a q4-trellis row, that of q4 (q4.h): codes, scale, bias. Trellis
 * coded quantization: value = scale * level + bias, with 32 levels a table, of
 * which a column can take those that 16 codes and the three columns before
 * allow. A code is a bit u (bit 0) and a number n (bits 1 to 3). With u1, u2,
 * u3 the bits u of one, two and three columns before, 0 before the first, z1 =
 * u ^ u1 ^ u3,  z0 = u2,  level = 4 n + 2 z1 + z0 (Ungerboeck's code of 8
 * states, 13 and 04 in octal).
 */
#ifndef NB_QUANT_Q4_TRELLIS_H
#define NB_QUANT_Q4_TRELLIS_H

#include "quant/codec/numbers.h"
#include "quant/codec/q4.h"

#define Q4_TRELLIS_LEVELS 32

#define Q4_TRELLIS_U 0x1111111111111111u /* bits u of 16 codes */

/* The level of a column. *bits are the u of the columns before, the nearest the
 * lowest, and then of this one too. */
static inline uint32_t q4_trellis_level(uint32_t code, uint32_t *bits)
{
    *bits = *bits << 1 | (code & 1u);
    uint32_t z1 = *bits ^ *bits >> 1 ^ *bits >> 3;
    uint32_t z0 = *bits >> 2;
    return code >> 1 << 2 | (z1 & 1u) << 1 | (z0 & 1u);
}

/*
 * Level numbers of 16 columns, all at once: their low four bits. The highest
 * bit of a level's number is that of the code. `codes` are those of the
 * columns, `before` those of the 16 columns before.
 */
static inline uint64_t q4_trellis_low_bits(uint64_t codes, uint64_t before)
{
    uint64_t u = codes & Q4_TRELLIS_U;
    uint64_t v = before & Q4_TRELLIS_U;
    uint64_t u1 = u << 4 | v >> 60;
    uint64_t u2 = u << 8 | v >> 56;
    uint64_t u3 = u << 12 | v >> 52;
    return (codes & 6 * Q4_TRELLIS_U) << 1 | (u ^ u1 ^ u3) << 1 | u2;
}

#endif
