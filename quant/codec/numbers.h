/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Numbers of a table's scale type, which stand in its rows. */
#ifndef NB_QUANT_NUMBERS_H
#define NB_QUANT_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

#include "quant/bytes.h"
#include "quant/half.h"
#include "quant/nibble.h"

static inline size_t number_bytes(uint32_t scales)
{
    return scales == NB_SCALES_FP16 ? 2 : 4;
}

/* The i-th of the numbers at `at`. */
static inline float number_get(const uint8_t *at, uint32_t scales, size_t i)
{
    return scales == NB_SCALES_FP16 ? half_to_float(get_u16(at + 2 * i))
                                    : get_f32(at + 4 * i);
}

static inline void number_put(uint8_t *at, uint32_t scales, size_t i,
                              float value)
{
    if (scales == NB_SCALES_FP16) {
        put_u16(at + 2 * i, half_from_float(value));
    } else {
        put_f32(at + 4 * i, value);
    }
}

/* The nearest number of the type. */
static inline float number_round(float value, uint32_t scales)
{
    return scales == NB_SCALES_FP16 ? half_to_float(half_from_float(value))
                                    : value;
}

#endif
