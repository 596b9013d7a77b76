/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows of q4 as they are, a unit of 16 columns at a time. */

#include "quant/kernel/q4_neon.h"

static void decode_row(const struct kernel_job *job, const struct q4_tile *tile,
                       const uint8_t *row, uint8_t *out)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;
    bool half = job->scales == NB_SCALES_FP16;
    float32x2_t params = q4_params(row, tile->param_at, half);

    for (unsigned u = 0; u < tile->units; u++) {
        uint8x8_t bytes = q4_bytes(row, tile, u, tile->units);
        uint32_t j = u * Q4_UNIT;
        q4_store(out + j * value_bytes, job->dtype,
                 q4_decoded(q4_codes_of(bytes), params), job->dim - j);
    }
}

void nb_q4_decode_neon(const struct kernel_job *job)
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
