/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4-kmeans: level[code], the levels standing in the row. */
#define OPS_CODEC  q4_kmeans
#define OPS_BIASED 0

#include "quant/kernel/lut_avx2_template.h"

Q4_INLINE struct row row_open(const struct kernel_job *job,
                              const struct tile *tile, const uint8_t *bytes)
{
    const uint8_t *levels = bytes + tile->codes.param_at;
    struct row row = {.bytes = bytes, .scale = 1, .bias = 0};
    if (job->scales == NB_SCALES_FP16) {
        const __m128i *halves = (const __m128i *)(const void *)levels;
        row.low = _mm256_cvtph_ps(_mm_loadu_si128(halves));
        row.high = _mm256_cvtph_ps(_mm_loadu_si128(halves + 1));
    } else {
        const float *floats = (const float *)(const void *)levels;
        row.low = _mm256_loadu_ps(floats);
        row.high = _mm256_loadu_ps(floats + 8);
    }
    return row;
}

#include "quant/kernel/ops_template.h"
