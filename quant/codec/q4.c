/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* q4: affine 4-bit rows; layout in q4.h. */
#include "quant/codec/q4.h"
#include "quant/codec/codec.h"
#include "quant/kernel/kernels.h"
#include "quant/search/search.h"

static size_t row_bytes(const struct nb_format *format)
{
    return q4_code_bytes(format->dim) + 2 * q4_scale_bytes(format->scales);
}

static uint8_t code_of(float x, struct affine affine, float inverse)
{
    return (uint8_t)affine_round((x - affine.bias) * inverse);
}

static void put_codes(const float *x, uint32_t dim, struct affine affine,
                      uint8_t *codes)
{
    float inverse = 1.0f / affine.scale;
    size_t pairs = dim / 2;
    for (size_t i = 0; i < pairs; i++) {
        uint8_t low = code_of(x[2 * i], affine, inverse);
        uint8_t high = code_of(x[2 * i + 1], affine, inverse);
        codes[i] = (uint8_t)(low | high << 4);
    }
    if (dim % 2 != 0) {
        codes[pairs] = code_of(x[dim - 1], affine, inverse);
    }
}

static void put_affine(struct affine affine, uint32_t scales, uint8_t *at)
{
    if (scales == NB_SCALES_FP16) {
        put_u16(at, half_from_float(affine.scale));
        put_u16(at + 2, half_from_float(affine.bias));
    } else {
        put_f32(at, affine.scale);
        put_f32(at + 4, affine.bias);
    }
}

void nb_q4_pack_scalar(const struct nb_format *format, const float *x,
                       size_t n_rows, const struct affine *affine,
                       uint8_t *rows, size_t stride)
{
    uint32_t dim = format->dim;
    for (size_t i = 0; i < n_rows; i++, x += dim, rows += stride) {
        put_codes(x, dim, affine[i], rows);
        put_affine(affine[i], format->scales, rows + q4_code_bytes(dim));
    }
}

static void encode(const struct nb_format *format, const struct search *search,
                   const float *x, size_t n_rows, uint8_t *rows, size_t stride)
{
    struct affine affine[Q4_BLOCK_MAX];
    size_t most = q4_block_rows(format->dim);
    while (n_rows > 0) {
        size_t n = n_rows < most ? n_rows : most;
        search->choose(format, x, n, affine);
        KERNEL_CALL(pack, q4, format, x, n, affine, rows, stride);
        x += n * format->dim;
        rows += n * stride;
        n_rows -= n;
    }
}

const struct codec codec_q4 = {
    .id = CODEC_q4,
    .name = "q4",
    .scales = CODEC_SCALES_FP16 | CODEC_SCALES_FP32,
    .default_scales = NB_SCALES_FP16,
    .searched = true,
    .row_bytes = row_bytes,
    .encode = encode,
};
