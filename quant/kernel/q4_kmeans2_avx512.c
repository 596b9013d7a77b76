/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4-kmeans2: level[code], of the codebook that the row takes. */
#define OPS_CODEC  q4_kmeans2
#define OPS_BIASED 0

#include "quant/codec/q4_kmeans2.h"
#include "quant/kernel/lut_avx512_template.h"

Q4_INLINE struct row row_open(const struct kernel_job *job,
                              const struct tile *tile, const uint8_t *bytes)
{
    uint32_t book =
        q4_kmeans2_book(bytes + tile->codes.param_at, job->params->n_codebooks);
    const float *levels = job->params->codebooks + (size_t)book * Q4_LEVELS;
    return (struct row){.table = _mm512_loadu_ps(levels),
                        .bytes = bytes,
                        .scale = 1,
                        .bias = 0};
}

#include "quant/kernel/ops_template.h"
