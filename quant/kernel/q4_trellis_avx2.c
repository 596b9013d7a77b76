/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * q4-trellis: scale * level + bias. The low four bits of 16 levels' numbers are
 * made at once, in a general register; the fifth is that of the code. The
 * table of 32 is four of 8.
 */
#define OPS_CODEC  q4_trellis
#define OPS_BIASED 1

#include "quant/codec/q4_trellis.h"
#include "quant/kernel/ops_units_avx2.h"

struct tile {
    struct q4_tile codes;
    unsigned units;
    bool first; /* nothing stands before */
};

struct row {
    __m256 levels[4]; /* 0..7, 8..15, .. */
    const uint8_t *bytes;
    float scale;
    float bias;
};

static bool tile_init(struct tile *tile, const struct kernel_job *job,
                      uint32_t col, uint32_t width)
{
    if (q4_too_short(job)) {
        return false;
    }
    q4_tile_init(&tile->codes, job, col, width);
    tile->units = tile->codes.units;
    tile->first = col == 0;
    return true;
}

Q4_INLINE struct row row_open(const struct kernel_job *job,
                              const struct tile *tile, const uint8_t *bytes)
{
    __m128 p =
        q4_params(bytes, tile->codes.param_at, job->scales == NB_SCALES_FP16);
    struct row row = {.bytes = bytes,
                      .scale = _mm_cvtss_f32(p),
                      .bias = _mm_cvtss_f32(_mm_movehdup_ps(p))};
    for (size_t i = 0; i < 4; i++) {
        row.levels[i] = _mm256_loadu_ps(job->params->codebooks + 8 * i);
    }
    return row;
}

Q4_INLINE void row_begin(struct row *row, const bool whole)
{
    __m256 scale = _mm256_set1_ps(row->scale);
    __m256 bias = _mm256_set1_ps(row->bias);
    for (size_t i = 0; i < 4; i++) {
        row->levels[i] = _mm256_mul_ps(scale, row->levels[i]);
        if (whole) {
            row->levels[i] = _mm256_add_ps(row->levels[i], bias);
        }
    }
}

/* Levels of eight columns: bits 0 to 3 of the lanes of `low_bits`, and bit 3
 * of those of `codes`. */
Q4_INLINE __m256 row_levels(const struct row *row, __m256i low_bits,
                            __m256i codes)
{
    __m256 bit3 = _mm256_castsi256_ps(_mm256_slli_epi32(low_bits, 28));
    __m256 bit4 = _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28));
    __m256 low = _mm256_blendv_ps(
        _mm256_permutevar8x32_ps(row->levels[0], low_bits),
        _mm256_permutevar8x32_ps(row->levels[1], low_bits), bit3);
    __m256 high = _mm256_blendv_ps(
        _mm256_permutevar8x32_ps(row->levels[2], low_bits),
        _mm256_permutevar8x32_ps(row->levels[3], low_bits), bit3);
    return _mm256_blendv_ps(low, high, bit4);
}

Q4_INLINE __m256i widened(uint64_t bytes)
{
    return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)bytes));
}

Q4_INLINE struct q4_pair row_unit(const struct row *row,
                                  const struct tile *tile, const unsigned u,
                                  const bool last, const bool whole)
{
    (void)whole;
    const uint8_t *at = row->bytes + tile->codes.at + (size_t)u * Q4_UNIT_BYTES;
    uint64_t codes = last ? get_u64(row->bytes + tile->codes.tail_at) >>
                                tile->codes.tail_shift
                          : get_u64(at);
    uint64_t before = u == 0 && tile->first ? 0 : get_u64(at - Q4_UNIT_BYTES);
    __m256i low_bits = widened(q4_trellis_low_bits(codes, before));
    __m256i upper = widened(codes);
    return (struct q4_pair){row_levels(row, low_bits, upper),
                            row_levels(row, _mm256_srli_epi32(low_bits, 4),
                                       _mm256_srli_epi32(upper, 4))};
}

Q4_INLINE struct q4_pair unit_ordered(struct q4_pair values)
{
    return q4_ordered(values);
}

#include "quant/kernel/ops_template.h"
