/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* fp32: the values themselves. */
#define OPS_CODEC  fp32
#define OPS_BIASED 0

#include "quant/kernel/elements_avx2.h"

#define VALUE_BYTES ((size_t)4)

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
    row->scales = _mm256_set1_ps(row->scale);
}

Q4_INLINE __m256 row_half(const struct row *row, const uint8_t *at,
                          const bool whole)
{
    __m256 values = _mm256_loadu_ps((const float *)(const void *)at);
    return whole ? values : _mm256_mul_ps(row->scales, values);
}

Q4_INLINE struct q4_pair row_unit(const struct row *row,
                                  const struct tile *tile, const unsigned u,
                                  const bool last, const bool whole)
{
    struct elements copy;
    const uint8_t *at = elements_at(row->bytes + (size_t)u * 16 * VALUE_BYTES,
                                    tile, last, &copy);
    return (struct q4_pair){row_half(row, at, whole),
                            row_half(row, at + 8 * VALUE_BYTES, whole)};
}

#include "quant/kernel/ops_template.h"
