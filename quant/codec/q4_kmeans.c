/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * q4-kmeans: rows with a codebook each. Layout:
 *   ceil(dim / 2) bytes of codes, as in q4.h
 *   16 levels, ascending: fp16 or fp32
 * value = level[code].
 */
#include "quant/codec/codec.h"
#include "quant/codec/kmeans.h"
#include "quant/codec/numbers.h"
#include "quant/codec/q4.h"

static size_t row_bytes(const struct nb_format *format)
{
    return q4_code_bytes(format->dim) +
           KMEANS_LEVELS * number_bytes(format->scales);
}

static void encode_row(const struct nb_format *format, const float *x,
                       uint8_t *row)
{
    float levels[KMEANS_LEVELS];
    uint32_t dim = format->dim;
    uint8_t *numbers = row + q4_code_bytes(dim);

    kmeans_levels(x, dim, levels, KMEANS_LEVELS);
    for (size_t i = 0; i < KMEANS_LEVELS; i++) {
        number_put(numbers, format->scales, i, levels[i]);
        levels[i] = number_get(numbers, format->scales, i);
    }
    for (uint32_t j = 0; j < dim; j += 2) {
        uint8_t low = kmeans_nearest(x[j], levels);
        uint8_t high = j + 1 < dim ? kmeans_nearest(x[j + 1], levels) : 0;
        row[j / 2] = (uint8_t)(low | high << 4);
    }
}

static void encode(const struct nb_format *format, const struct search *search,
                   const float *x, size_t n_rows, uint8_t *rows, size_t stride)
{
    (void)search;
    for (size_t i = 0; i < n_rows; i++) {
        encode_row(format, x + i * format->dim, rows + i * stride);
    }
}

const struct codec codec_q4_kmeans = {
    .id = CODEC_q4_kmeans,
    .name = "q4-kmeans",
    .scales = CODEC_SCALES_FP16 | CODEC_SCALES_FP32,
    .default_scales = NB_SCALES_FP16,
    .row_bytes = row_bytes,
    .encode = encode,
};
