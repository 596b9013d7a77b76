/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#ifndef NB_QUANT_Q4_SCALAR_H
#define NB_QUANT_Q4_SCALAR_H

#include "quant/codec/q4.h"

static inline unsigned q4_code(const uint8_t *row, uint32_t column)
{
    return (unsigned)row[column / 2] >> (column % 2 * 4) & 0xfu;
}

#endif
