/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * As lut_avx512_template.h, for ops_template.h: vpermps takes 8 levels, so
 * that a table is two, and bit 3 of a code chooses.
 */
#include "quant/kernel/ops_units_avx2.h"

struct tile {
    struct q4_tile codes;
    unsigned units;
};

struct row {
    __m256 low; /* levels 0..7 */
    __m256 high;
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
    return true;
}

Q4_INLINE void row_begin(struct row *row, const bool whole)
{
    __m256 scale = _mm256_set1_ps(row->scale);
    row->low = _mm256_mul_ps(scale, row->low);
    row->high = _mm256_mul_ps(scale, row->high);
    if (whole && OPS_BIASED) {
        __m256 bias = _mm256_set1_ps(row->bias);
        row->low = _mm256_add_ps(row->low, bias);
        row->high = _mm256_add_ps(row->high, bias);
    }
}

/* The levels of eight codes, in the low four bits of the lanes. */
Q4_INLINE __m256 lut_levels(const struct row *row, __m256i codes)
{
    __m256 low = _mm256_permutevar8x32_ps(row->low, codes);
    __m256 high = _mm256_permutevar8x32_ps(row->high, codes);
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28));
    return _mm256_blendv_ps(low, high, upper);
}

Q4_INLINE struct q4_pair row_unit(const struct row *row,
                                  const struct tile *tile, const unsigned u,
                                  const bool last, const bool whole)
{
    (void)whole;
    uint64_t codes =
        last ? get_u64(row->bytes + tile->codes.tail_at) >>
                   tile->codes.tail_shift
             : get_u64(row->bytes + tile->codes.at + u * Q4_UNIT_BYTES);
    __m256i bytes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)codes));
    return (struct q4_pair){lut_levels(row, bytes),
                            lut_levels(row, _mm256_srli_epi32(bytes, 4))};
}

Q4_INLINE struct q4_pair unit_ordered(struct q4_pair values)
{
    return q4_ordered(values);
}
