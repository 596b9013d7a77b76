/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4-kmeans2, the paper's KMEANS-CLS: blocks of rows with a codebook each;
 * layout in q4_kmeans2.h. */
#include "quant/codec/q4_kmeans2.h"
#include "quant/codec/codec.h"
#include "quant/kernel/kernels.h"
#include "quant/kernel/q4_scalar.h"

static size_t row_bytes(const struct nb_format *format)
{
    return q4_code_bytes(format->dim) + sizeof(uint16_t);
}

static bool can_have(uint32_t n_codebooks)
{
    return n_codebooks >= 1 && n_codebooks <= Q4_KMEANS2_MAX_BOOKS;
}

static void encode(const struct nb_format *format,
                   const struct nb_params *params, const float *x,
                   size_t n_rows, uint8_t *rows, size_t stride)
{
    KERNEL_CALL(encode, q4_kmeans2, format, params, x, n_rows, rows, stride);
}

static void trace(const struct nb_format *format,
                  const struct nb_params *params, const uint8_t *row,
                  uint32_t *levels, struct affine *affine)
{
    uint32_t book =
        q4_kmeans2_book(row + q4_code_bytes(format->dim), params->n_codebooks);

    for (uint32_t j = 0; j < format->dim; j++) {
        levels[j] = book * Q4_LEVELS + q4_code(row, j);
    }
    *affine = (struct affine){.scale = 1, .bias = 0};
}

static const struct codec_trained trained = {
    .n_levels = Q4_LEVELS,
    .usual_codebooks = 64,
    .can_have = can_have,
    .encode = encode,
    .trace = trace,
    .n_subsets = 1,
    .standard = false,
};

const struct codec codec_q4_kmeans2 = {
    .id = CODEC_q4_kmeans2,
    .name = "q4-kmeans2",
    .scales = CODEC_SCALES_FP32,
    .default_scales = NB_SCALES_FP32,
    .row_bytes = row_bytes,
    .trained = &trained,
};
