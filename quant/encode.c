/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <float.h>
#include <math.h>

#include "quant/codec/codec.h"
#include "quant/columns.h"
#include "quant/kernel/kernels.h"
#include "quant/nibble.h"
#include "quant/search/search.h"

void nb_any_over_scalar(const float *x, size_t n, float limit, size_t *at)
{
    size_t i = 0;
    while (i < n && fabsf(x[i]) <= limit) {
        i++;
    }
    *at = i;
}

/* Index of the first of n values that does not fit the scale type. */
static size_t first_over(const struct nb_format *format, const float *z,
                         size_t n)
{
    float limit = format->scales == NB_SCALES_FP16 ? 65504.0f : FLT_MAX / 4;
    size_t at;
    KERNEL_CALL(over, any, z, n, limit, &at);
    return at;
}

static int check(const struct nb_format *format, const struct nb_params *params)
{
    int rv = codec_check_format(format);
    return rv == 0 ? codec_check_params(format, params, NULL) : rv;
}

/* Rows that are transformed at a time. */
static size_t block_rows(uint32_t dim)
{
    return dim < COLUMNS_BLOCK ? COLUMNS_BLOCK / dim : 1;
}

/* As first_over(), of values that are to be transformed. */
static size_t first_over_columns(const struct nb_format *format,
                                 const struct nb_params *params, const float *x,
                                 size_t n_rows)
{
    float z[NB_DIM_MAX];
    size_t dim = format->dim;
    size_t most = block_rows(format->dim);

    for (size_t row = 0; row < n_rows; row += most) {
        size_t n = n_rows - row < most ? n_rows - row : most;
        columns_apply(params, format->dim, x + row * dim, n, z);
        size_t at = first_over(format, z, n * dim);
        if (at < n * dim) {
            return row * dim + at;
        }
    }
    return n_rows * dim;
}

int nb_check_values(const struct nb_format *format,
                    const struct nb_params *params, const float *x,
                    size_t n_rows, size_t *at)
{
    int rv = codec_check_format(format);
    if (rv == 0 && !params_columns_good(params)) {
        rv = NB_ERR_INVALID;
    }
    if (rv != 0) {
        return rv;
    }
    size_t n = n_rows * format->dim;
    size_t first = params_have_columns(params)
                       ? first_over_columns(format, params, x, n_rows)
                       : first_over(format, x, n);
    if (first == n) {
        return 0;
    }
    *at = first;
    return isfinite(x[first]) ? NB_ERR_OVERFLOW : NB_ERR_NONFINITE;
}

/* A row of zeros would stand for none. If a codec makes one of zeros, its last
 * number is a zero as well, which is as good with the other sign. */
static void mark_rows(size_t row_bytes, size_t n_rows, uint8_t *rows,
                      size_t stride)
{
    for (size_t i = 0; i < n_rows; i++, rows += stride) {
        if (columns_row_is_none(rows, row_bytes)) {
            rows[row_bytes - 1] = 0x80;
        }
    }
}

/* How to encode. */
struct encoder {
    const struct nb_format *format;
    const struct nb_params *params;
    const struct codec *codec;
    const struct search *search;
};

static void encode_rows(const struct encoder *encoder, const float *z,
                        size_t n_rows, uint8_t *rows, size_t stride)
{
    const struct codec_trained *trained = encoder->codec->trained;
    if (trained != NULL) {
        trained->encode(encoder->format, encoder->params, z, n_rows, rows,
                        stride);
    } else {
        encoder->codec->encode(encoder->format, encoder->search, z, n_rows,
                               rows, stride);
    }
}

static void encode_columns(const struct encoder *encoder, const float *x,
                           size_t n_rows, uint8_t *rows, size_t stride)
{
    float z[NB_DIM_MAX];
    uint32_t dim = encoder->format->dim;
    size_t most = block_rows(dim);

    while (n_rows > 0) {
        size_t n = n_rows < most ? n_rows : most;
        columns_apply(encoder->params, dim, x, n, z);
        encode_rows(encoder, z, n, rows, stride);
        mark_rows(encoder->codec->row_bytes(encoder->format), n, rows, stride);
        x += n * dim;
        rows += n * stride;
        n_rows -= n;
    }
}

int nb_encode(const struct nb_format *format, const struct nb_params *params,
              uint32_t search, const float *x, size_t n_rows, void *rows,
              size_t stride)
{
    int rv = check(format, params);
    if (rv != 0) {
        return rv;
    }
    const struct codec *codec = codec_by_id(format->codec);
    const struct search *chosen = codec->searched ? search_by_id(search) : NULL;
    if ((codec->searched && chosen == NULL) ||
        stride < codec->row_bytes(format)) {
        return NB_ERR_INVALID;
    }
    const struct encoder encoder = {format, params, codec, chosen};
    if (params_have_columns(params)) {
        encode_columns(&encoder, x, n_rows, rows, stride);
    } else {
        encode_rows(&encoder, x, n_rows, rows, stride);
    }
    return 0;
}
