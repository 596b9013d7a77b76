/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows whose columns are elements of a fixed size, one after the other, for
 * ops_template.h. */
#ifndef NB_QUANT_ELEMENTS_AVX512_H
#define NB_QUANT_ELEMENTS_AVX512_H

#include "quant/kernel/ops_units_avx512.h"

struct tile {
    size_t at; /* byte of the first element */
    unsigned units;
    __mmask16 tail; /* elements of the last unit */
};

static inline bool elements_init(struct tile *tile, uint32_t col,
                                 uint32_t width, size_t element_bytes)
{
    tile->at = col * element_bytes;
    tile->units = (width + 15) / 16;
    tile->tail = q4_mask(width - (tile->units - 1) * 16);
    return true;
}

Q4_INLINE __m512 unit_ordered(__m512 values)
{
    return values;
}

#endif
