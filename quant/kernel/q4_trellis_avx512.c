/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * q4-trellis: scale * level + bias. The low four bits of 16 levels' numbers are
 * made at once, in a general register; the fifth, which is that of the code,
 * chooses between two tables of 16.
 */
#define OPS_CODEC  q4_trellis
#define OPS_BIASED 1

#include "quant/codec/q4_trellis.h"
#include "quant/kernel/ops_units_avx512.h"

struct tile {
    struct q4_tile codes;
    unsigned units;
    bool first; /* nothing stands before */
    __m512i shifts;
};

struct row {
    __m512 low; /* levels 0..15 */
    __m512 high;
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
    tile->shifts = q4_shifts(0);
    return true;
}

Q4_INLINE struct row row_open(const struct kernel_job *job,
                              const struct tile *tile, const uint8_t *bytes)
{
    __m128 p =
        q4_params(bytes, tile->codes.param_at, job->scales == NB_SCALES_FP16);
    return (struct row){.low = _mm512_loadu_ps(job->params->codebooks),
                        .high = _mm512_loadu_ps(job->params->codebooks + 16),
                        .bytes = bytes,
                        .scale = _mm_cvtss_f32(p),
                        .bias = _mm_cvtss_f32(_mm_movehdup_ps(p))};
}

Q4_INLINE void row_begin(struct row *row, const bool whole)
{
    __m512 scale = _mm512_set1_ps(row->scale);
    row->low = _mm512_mul_ps(scale, row->low);
    row->high = _mm512_mul_ps(scale, row->high);
    if (whole) {
        __m512 bias = _mm512_set1_ps(row->bias);
        row->low = _mm512_add_ps(row->low, bias);
        row->high = _mm512_add_ps(row->high, bias);
    }
}

Q4_INLINE __m512 row_unit(const struct row *row, const struct tile *tile,
                          const unsigned u, const bool last, const bool whole)
{
    (void)whole;
    const uint8_t *at = row->bytes + tile->codes.at + (size_t)u * Q4_UNIT_BYTES;
    uint64_t codes = last ? get_u64(row->bytes + tile->codes.tail_at) >>
                                tile->codes.tail_shift
                          : get_u64(at);
    uint64_t before = u == 0 && tile->first ? 0 : get_u64(at - Q4_UNIT_BYTES);
    uint64_t low_bits = q4_trellis_low_bits(codes, before);
    __m512i from =
        _mm512_srlv_epi64(_mm512_set1_epi64((long long)low_bits), tile->shifts);
    __m512i upper =
        _mm512_srlv_epi64(_mm512_set1_epi64((long long)codes), tile->shifts);
    __mmask16 mask = _mm512_test_epi32_mask(upper, _mm512_set1_epi32(8));
    __m512 values = _mm512_permutexvar_ps(from, row->low);
    return _mm512_mask_permutexvar_ps(values, mask, from, row->high);
}

Q4_INLINE __m512 unit_ordered(__m512 values)
{
    return q4_ordered(values);
}

#include "quant/kernel/ops_template.h"
