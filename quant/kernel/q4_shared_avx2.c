/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4-shared: scale * level[code] + bias, the levels being the table's. */
#define OPS_CODEC  q4_shared
#define OPS_BIASED 1

#include "quant/codec/q4_shared.h"
#include "quant/kernel/lut_avx2_template.h"

/* Of a row with one of 8 codebooks. */
Q4_INLINE const float *choose_book(const struct kernel_job *job,
                                   const uint8_t *bytes, struct row *row)
{
    uint32_t bits = q4_shared_scale_bits(bytes, job->dim, job->scales);
    uint32_t book = q4_shared_book(bits, job->scales);
    bits = q4_shared_scale_only(bits, job->scales);
    row->scale = job->scales == NB_SCALES_FP16
                     ? _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128((int)bits)))
                     : float_from_bits(bits);
    return job->params->codebooks + (size_t)book * Q4_LEVELS;
}

Q4_INLINE struct row row_open(const struct kernel_job *job,
                              const struct tile *tile, const uint8_t *bytes)
{
    __m128 p =
        q4_params(bytes, tile->codes.param_at, job->scales == NB_SCALES_FP16);
    struct row row = {.bytes = bytes,
                      .scale = _mm_cvtss_f32(p),
                      .bias = _mm_cvtss_f32(_mm_movehdup_ps(p))};
    const float *levels = job->params->codebooks;
    if (job->params->n_codebooks > 1) {
        levels = choose_book(job, bytes, &row);
    }
    row.low = _mm256_loadu_ps(levels);
    row.high = _mm256_loadu_ps(levels + 8);
    return row;
}

#include "quant/kernel/ops_template.h"
