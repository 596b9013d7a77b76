/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * q8: affine 8-bit rows. Layout, with fp32 that of FBGEMM's fused 8-bit rows:
 *   dim bytes of codes
 *   scale, bias: fp16 or fp32
 * value = scale * code + bias. The range is always the row's extremes.
 */
#include "quant/codec/codec.h"
#include "quant/codec/numbers.h"
#include "quant/search/minmax.h"

#define MAX_CODE 255.0f

static size_t row_bytes(const struct nb_format *format)
{
    return (size_t)format->dim + 2 * number_bytes(format->scales);
}

/* The nearest code to t, ties to even: 1.5 * 2^23 leaves no fraction bits. */
static uint8_t code_of(float t)
{
    t = t > 0 ? t : 0;
    t = t < MAX_CODE ? t : MAX_CODE;
    return (uint8_t)((t + 0x1.8p23f) - 0x1.8p23f);
}

/* The scale of a constant row whose bias was rounded up is negative. */
static float scale_of(float bias, float max, uint32_t scales)
{
    float range = max - bias;
    float scale = range == 0 ? 1.0f : number_round(range / MAX_CODE, scales);
    return scale == 0 || __builtin_isinf(1.0f / scale) ? 1.0f : scale;
}

static void encode(const struct nb_format *format, const struct search *search,
                   const float *x, size_t n_rows, uint8_t *rows, size_t stride)
{
    uint32_t dim = format->dim;
    uint32_t scales = format->scales;

    (void)search;
    for (size_t i = 0; i < n_rows; i++, x += dim, rows += stride) {
        struct minmax range = row_minmax(x, dim);
        float bias = number_round(range.min, scales);
        float scale = scale_of(bias, range.max, scales);
        float inverse = 1.0f / scale;
        for (uint32_t j = 0; j < dim; j++) {
            rows[j] = code_of((x[j] - bias) * inverse);
        }
        number_put(rows + dim, scales, 0, scale);
        number_put(rows + dim, scales, 1, bias);
    }
}

const struct codec codec_q8 = {
    .id = CODEC_q8,
    .name = "q8",
    .scales = CODEC_SCALES_FP16 | CODEC_SCALES_FP32,
    .default_scales = NB_SCALES_FP32,
    .row_bytes = row_bytes,
    .encode = encode,
};
