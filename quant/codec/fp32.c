/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* fp32: dim fp32 numbers, little-endian. */
#include "quant/codec/codec.h"
#include "quant/codec/numbers.h"

static size_t row_bytes(const struct nb_format *format)
{
    return format->dim * number_bytes(NB_SCALES_FP32);
}

static void encode(const struct nb_format *format, const struct search *search,
                   const float *x, size_t n_rows, uint8_t *rows, size_t stride)
{
    (void)search;
    for (size_t i = 0; i < n_rows; i++, x += format->dim, rows += stride) {
        for (uint32_t j = 0; j < format->dim; j++) {
            number_put(rows, NB_SCALES_FP32, j, x[j]);
        }
    }
}

const struct codec codec_fp32 = {
    .id = CODEC_fp32,
    .name = "fp32",
    .scales = CODEC_SCALES_FP32,
    .default_scales = NB_SCALES_FP32,
    .row_bytes = row_bytes,
    .encode = encode,
};
