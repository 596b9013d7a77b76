/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q8: scale * code + bias. */
#define OPS_CODEC  q8
#define OPS_BIASED 1

#include "quant/kernel/elements_avx2.h"

struct row {
    __m256 scales;
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
    row->scales = _mm256_set1_ps(row->scale);
}

Q4_INLINE __m256 row_half(const struct row *row, const uint8_t *codes,
                          const bool whole)
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)codes);
    __m256 levels = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    __m256 values = _mm256_mul_ps(row->scales, levels);
    return whole ? _mm256_add_ps(values, _mm256_set1_ps(row->bias)) : values;
}

Q4_INLINE struct q4_pair row_unit(const struct row *row,
                                  const struct tile *tile, const unsigned u,
                                  const bool last, const bool whole)
{
    struct elements copy;
    const uint8_t *codes =
        elements_at(row->bytes + (size_t)u * 16, tile, last, &copy);
    return (struct q4_pair){row_half(row, codes, whole),
                            row_half(row, codes + 8, whole)};
}

#include "quant/kernel/ops_template.h"
