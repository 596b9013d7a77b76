/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q8: scale * code + bias. */
#define OPS_CODEC  q8
#define OPS_BIASED 1

#include "quant/codec/numbers.h"
#include "quant/kernel/elements_avx512.h"

struct row {
    __m512 scales;
    const uint8_t *bytes;
    float scale;
    float bias;
};

static bool tile_init(struct tile *tile, const struct kernel_job *job,
                      uint32_t col, uint32_t width)
{
    (void)job;
    return elements_init(tile, col, width, 1);
}

Q4_INLINE struct row row_open(const struct kernel_job *job,
                              const struct tile *tile, const uint8_t *bytes)
{
    __m128 p = q4_params(bytes, job->dim, job->scales == NB_SCALES_FP16);
    return (struct row){.bytes = bytes + tile->at,
                        .scale = _mm_cvtss_f32(p),
                        .bias = _mm_cvtss_f32(_mm_movehdup_ps(p))};
}

Q4_INLINE void row_begin(struct row *row, const bool whole)
{
    (void)whole;
    row->scales = _mm512_set1_ps(row->scale);
}

Q4_INLINE __m512 row_unit(const struct row *row, const struct tile *tile,
                          const unsigned u, const bool last, const bool whole)
{
    __m128i codes = _mm_maskz_loadu_epi8(last ? tile->tail : 0xffff,
                                         row->bytes + (size_t)u * 16);
    __m512 levels = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes));
    __m512 values = _mm512_mul_ps(row->scales, levels);
    return whole ? _mm512_add_ps(values, _mm512_set1_ps(row->bias)) : values;
}

#include "quant/kernel/ops_template.h"
