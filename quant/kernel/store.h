/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Results, value by value, at any alignment. */
#ifndef NB_QUANT_STORE_H
#define NB_QUANT_STORE_H

#include "quant/bytes.h"
#include "quant/half.h"
#include "quant/nibble.h"

static inline void store_value(uint8_t *out, uint32_t dtype, size_t at,
                               float value)
{
    switch (dtype) {
    case NB_FP32:
        put_f32(out + 4 * at, value);
        break;
    case NB_FP16:
        put_u16(out + 2 * at, half_from_float(value));
        break;
    default:
        put_u16(out + 2 * at, bf16_from_float(value));
        break;
    }
}

#endif
