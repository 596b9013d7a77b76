/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4-kmeans: level[code], the levels standing in the row. */
#define OPS_CODEC  q4_kmeans
#define OPS_BIASED 0

#include "quant/kernel/lut_avx512_template.h"

Q4_INLINE struct row row_open(const struct kernel_job *job,
                              const struct tile *tile, const uint8_t *bytes)
{
    const uint8_t *levels = bytes + tile->codes.param_at;
    __m512 table = job->scales == NB_SCALES_FP16
                       ? _mm512_cvtph_ps(_mm256_loadu_si256(
                             (const __m256i *)(const void *)levels))
                       : _mm512_loadu_ps(levels);
    return (struct row){table, bytes, 1, 0};
}

#include "quant/kernel/ops_template.h"
