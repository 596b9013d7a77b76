/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4-trellis: affine rows over 32 levels trained for the table; layout in
 * q4_trellis.h. */
#include "quant/codec/q4_trellis.h"
#include "quant/codec/codec.h"
#include "quant/kernel/kernels.h"
#include "quant/kernel/q4_scalar.h"

static size_t row_bytes(const struct nb_format *format)
{
    return q4_code_bytes(format->dim) + 2 * number_bytes(format->scales);
}

static bool can_have(uint32_t n_codebooks)
{
    return n_codebooks == 1;
}

static void encode(const struct nb_format *format,
                   const struct nb_params *params, const float *x,
                   size_t n_rows, uint8_t *rows, size_t stride)
{
    KERNEL_CALL(encode, q4_trellis, format, params, x, n_rows, rows, stride);
}

static void trace(const struct nb_format *format,
                  const struct nb_params *params, const uint8_t *row,
                  uint32_t *levels, struct affine *affine)
{
    uint32_t bits = 0; /* u of this column and those before */

    (void)params;
    for (uint32_t j = 0; j < format->dim; j++) {
        levels[j] = q4_trellis_level(q4_code(row, j), &bits);
    }
    affine->scale = q4_scale(row, format->dim, format->scales);
    affine->bias = q4_bias(row, format->dim, format->scales);
}

static const struct codec_trained trained = {
    .n_levels = Q4_TRELLIS_LEVELS,
    .usual_codebooks = 1,
    .can_have = can_have,
    .encode = encode,
    .trace = trace,
    .n_subsets = 4,
    .standard = true,
};

const struct codec codec_q4_trellis = {
    .id = CODEC_q4_trellis,
    .name = "q4-trellis",
    .scales = CODEC_SCALES_FP16 | CODEC_SCALES_FP32,
    .default_scales = NB_SCALES_FP16,
    .row_bytes = row_bytes,
    .trained = &trained,
};
