/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows of 4-bit codes into a table of 16 levels, for ops_template.h.
 * Parameters: OPS_BIASED, as there. The codec defines row_open(), which sets
 * all of a row. scale x level + bias is made once for each of the levels.
 */
#include "quant/kernel/ops_units_avx512.h"

struct tile {
    struct q4_tile codes;
    unsigned units;
    __m512i shifts;
    __m512i tail_shifts;
};

struct row {
    __m512 table;
    const uint8_t *bytes;
    float scale;
    float bias;
};

static inline bool tile_init(struct tile *tile, const struct kernel_job *job,
                             uint32_t col, uint32_t width)
{
    if (q4_too_short(job)) {
        return false;
    }
    q4_tile_init(&tile->codes, job, col, width);
    tile->units = tile->codes.units;
    tile->shifts = q4_shifts(0);
    tile->tail_shifts = q4_shifts(tile->codes.tail_shift);
    return true;
}

Q4_INLINE void row_begin(struct row *row, const bool whole)
{
    row->table = _mm512_mul_ps(_mm512_set1_ps(row->scale), row->table);
    if (whole && OPS_BIASED) {
        row->table = _mm512_add_ps(row->table, _mm512_set1_ps(row->bias));
    }
}

Q4_INLINE __m512 row_unit(const struct row *row, const struct tile *tile,
                          const unsigned u, const bool last, const bool whole)
{
    (void)whole;
    __m512i at =
        last ? q4_indices(row->bytes + tile->codes.tail_at, tile->tail_shifts)
             : q4_indices(row->bytes + tile->codes.at + u * Q4_UNIT_BYTES,
                          tile->shifts);
    return _mm512_permutexvar_ps(at, row->table);
}

Q4_INLINE __m512 unit_ordered(__m512 values)
{
    return q4_ordered(values);
}
