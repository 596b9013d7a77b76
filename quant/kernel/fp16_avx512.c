/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* fp16: the values themselves. */
#define OPS_CODEC  fp16
#define OPS_BIASED 0

#include "quant/kernel/elements_avx512.h"

#define VALUE_BYTES ((size_t)2)

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
    return elements_init(tile, col, width, VALUE_BYTES);
}

Q4_INLINE struct row row_open(const struct kernel_job *job,
                              const struct tile *tile, const uint8_t *bytes)
{
    (void)job;
    return (struct row){.bytes = bytes + tile->at, .scale = 1, .bias = 0};
}

Q4_INLINE void row_begin(struct row *row, const bool whole)
{
    (void)whole;
    row->scales = _mm512_set1_ps(row->scale);
}

Q4_INLINE __m512 row_unit(const struct row *row, const struct tile *tile,
                          const unsigned u, const bool last, const bool whole)
{
    __mmask16 mask = last ? tile->tail : 0xffff;
    const uint8_t *at = row->bytes + (size_t)u * 16 * VALUE_BYTES;
    __m512 values = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, at));
    return whole ? values : _mm512_mul_ps(row->scales, values);
}

#include "quant/kernel/ops_template.h"
