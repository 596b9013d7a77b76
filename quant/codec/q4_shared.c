/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4-shared and q4-shared8: affine rows over levels trained for the table;
 * layout in q4_shared.h. */
#include "quant/codec/q4_shared.h"
#include "quant/codec/codec.h"
#include "quant/kernel/kernels.h"
#include "quant/kernel/q4_scalar.h"

static size_t row_bytes(const struct nb_format *format)
{
    return q4_code_bytes(format->dim) + 2 * number_bytes(format->scales);
}

static bool is_one(uint32_t n_codebooks)
{
    return n_codebooks == 1;
}

static bool is_eight(uint32_t n_codebooks)
{
    return n_codebooks == Q4_SHARED_BOOKS;
}

static void encode(const struct nb_format *format,
                   const struct nb_params *params, const float *x,
                   size_t n_rows, uint8_t *rows, size_t stride)
{
    KERNEL_CALL(encode, q4_shared, format, params, x, n_rows, rows, stride);
}

static void trace(const struct nb_format *format,
                  const struct nb_params *params, const uint8_t *row,
                  uint32_t *levels, struct affine *affine)
{
    uint32_t bits = q4_shared_scale_bits(row, format->dim, format->scales);
    uint32_t book = 0;

    if (params->n_codebooks > 1) {
        book = q4_shared_book(bits, format->scales);
        bits = q4_shared_scale_only(bits, format->scales);
    }
    for (uint32_t j = 0; j < format->dim; j++) {
        levels[j] = book * Q4_LEVELS + q4_code(row, j);
    }
    affine->scale = q4_shared_float_of_bits(bits, format->scales);
    affine->bias = q4_bias(row, format->dim, format->scales);
}

#define TRAINED(n_codebooks, has)                                              \
    {                                                                          \
        .n_levels = Q4_LEVELS, .usual_codebooks = (n_codebooks),               \
        .can_have = (has), .encode = encode, .trace = trace, .n_subsets = 1,   \
        .standard = true,                                                      \
    }
static const struct codec_trained with_one = TRAINED(1, is_one);
static const struct codec_trained with_eight =
    TRAINED(Q4_SHARED_BOOKS, is_eight);

const struct codec codec_q4_shared = {
    .id = CODEC_q4_shared,
    .name = "q4-shared",
    .scales = CODEC_SCALES_FP16 | CODEC_SCALES_FP32,
    .default_scales = NB_SCALES_FP16,
    .row_bytes = row_bytes,
    .trained = &with_one,
};

const struct codec codec_q4_shared8 = {
    .id = CODEC_q4_shared8,
    .name = "q4-shared8",
    .scales = CODEC_SCALES_FP16 | CODEC_SCALES_FP32,
    .default_scales = NB_SCALES_FP16,
    .row_bytes = row_bytes,
    .trained = &with_eight,
};
