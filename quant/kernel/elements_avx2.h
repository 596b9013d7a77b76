/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows whose columns are elements of a fixed size, one after the other, for
 * ops_template.h. A pair is columns 0..7 and 8..15 here. */
#ifndef NB_QUANT_ELEMENTS_AVX2_H
#define NB_QUANT_ELEMENTS_AVX2_H

#include "quant/kernel/ops_units_avx2.h"

struct tile {
    size_t at; /* byte of the first element */
    unsigned units;
    size_t tail_bytes; /* of the last unit's elements; 0 for all 16 */
};

/* 16 elements at most. */
struct elements {
    _Alignas(32) uint8_t bytes[16 * sizeof(float)];
};

static inline bool elements_init(struct tile *tile, uint32_t col,
                                 uint32_t width, size_t element_bytes)
{
    tile->at = col * element_bytes;
    tile->units = (width + 15) / 16;
    tile->tail_bytes = width % 16 * element_bytes;
    return true;
}

/* Where the elements of a unit can be read from: the row, or a copy of what it
 * has left. */
Q4_INLINE const uint8_t *elements_at(const uint8_t *bytes,
                                     const struct tile *tile, const bool last,
                                     struct elements *copy)
{
    if (!last || tile->tail_bytes == 0) {
        return bytes;
    }
    memset(copy, 0, sizeof(*copy));
    memcpy(copy->bytes, bytes, tile->tail_bytes);
    return copy->bytes;
}

Q4_INLINE struct q4_pair unit_ordered(struct q4_pair values)
{
    return values;
}

#endif
