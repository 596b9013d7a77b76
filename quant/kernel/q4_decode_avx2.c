/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows of q4 as they are, a unit of 16 columns at a time. */

#include "quant/kernel/q4_avx2.h"

Q4_INLINE void decode_unit(const struct kernel_job *job, uint64_t codes,
                           __m256 scale, __m256 bias, uint8_t *out, size_t n)
{
    struct q4_pair q = q4_codes_of(codes);
    struct q4_pair values = {q4_mul_add(scale, q.even, bias, false),
                             q4_mul_add(scale, q.odd, bias, false)};
    q4_store(out, job->dtype, q4_ordered(values), n);
}

static void decode_row(const struct kernel_job *job, const struct q4_tile *tile,
                       const uint8_t *row, uint8_t *out)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;
    bool half = job->scales == NB_SCALES_FP16;
    __m128 p = q4_params(row, tile->param_at, half);
    __m256 scale = _mm256_broadcastss_ps(p);
    __m256 bias = _mm256_broadcastss_ps(_mm_movehdup_ps(p));
    uint32_t j = 0;

    for (; j + Q4_UNIT < job->dim; j += Q4_UNIT) {
        decode_unit(job, get_u64(row + j / 2), scale, bias,
                    out + j * value_bytes, Q4_UNIT);
    }
    decode_unit(job, get_u64(row + tile->tail_at) >> tile->tail_shift, scale,
                bias, out + j * value_bytes, job->dim - j);
}

void nb_q4_decode_avx2(const struct kernel_job *job)
{
    struct q4_tile tile;
    uint8_t *out = job->out;

    if (q4_too_short(job)) {
        nb_q4_decode_scalar(job);
        return;
    }
    q4_tile_init(&tile, job, 0, job->dim);
    for (size_t i = 0; i < job->n_rows; i++) {
        kernel_prefetch_ahead(job, i, 1);
        decode_row(job, &tile, job->rows[i], out);
        out += job->out_stride;
    }
}
