/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* LANES rows at a time, a row a lane. Parameters: a lanes_<isa>.h included
 * before. */
#ifndef NB_QUANT_LANES_ROWS_H
#define NB_QUANT_LANES_ROWS_H

#include "quant/nibble.h"
#include "quant/search/affine.h"

#ifndef LANES
#error "include lanes_<isa>.h first"
#endif

/* Starts of rows of dim values, n <= LANES of them; the last stands in for
 * those that are missing. */
LANES_INLINE void rows_set(const float *rows[LANES], const float *x, size_t n,
                           size_t dim)
{
    for (size_t i = 0; i < LANES; i++) {
        rows[i] = x + (i < n ? i : n - 1) * dim;
    }
}

/* Columns first .. first + n of the rows, n <= LANES; zeros behind. */
LANES_INLINE void rows_columns(const float *const rows[LANES], size_t first,
                               size_t n, lanes column[LANES])
{
    for (size_t i = 0; i < LANES; i++) {
        column[i] = n == LANES ? lanes_load(rows[i] + first)
                               : lanes_load_part(rows[i] + first, n);
    }
    lanes_transpose(column);
}

struct ends {
    lanes min;
    lanes max;
};

/* Least and greatest value of each of LANES interleaved parts of a row. */
LANES_INLINE struct ends row_ends(const float *x, size_t dim)
{
    if (dim < LANES) {
        lanes first = lanes_set(x[0]);
        lanes_mask some = mask_of((1u << dim) - 1);
        lanes only = lanes_select(some, lanes_load_part(x, dim), first);
        return (struct ends){only, only};
    }
    lanes last = lanes_load(x + dim - LANES);
    struct ends ends = {last, last};
    for (size_t i = 0; i + LANES < dim; i += LANES) {
        lanes v = lanes_load(x + i);
        ends.min = lanes_min(v, ends.min);
        ends.max = lanes_max(v, ends.max);
    }
    return ends;
}

/* The sign of a row's first zero goes to its bias (see minmax.h); the order
 * above lost it. */
LANES_INLINE lanes first_zeros(const float *const rows[LANES], size_t dim,
                               lanes min)
{
    float values[LANES];
    lanes_put(values, min);
    for (size_t i = 0; i < LANES; i++) {
        for (size_t j = 0; values[i] == 0 && j < dim; j++) {
            if (rows[i][j] == 0) {
                values[i] = rows[i][j];
                break;
            }
        }
    }
    return lanes_load(values);
}

#ifndef LANES_ENDS
/* Rows to lanes: the least (or greatest) of the lanes of v[i] to lane i. */
LANES_INLINE lanes lanes_ends(lanes v[LANES], int greatest)
{
    lanes_transpose(v);
    for (size_t half = LANES / 2; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) {
            v[i] = greatest ? lanes_max(v[i], v[i + half])
                            : lanes_min(v[i], v[i + half]);
        }
    }
    return v[0];
}
#endif

/* row_minmax() of each row. */
LANES_INLINE struct ends rows_ends(const float *const rows[LANES], size_t dim)
{
    lanes min[LANES];
    lanes max[LANES];
    for (size_t i = 0; i < LANES; i++) {
        struct ends ends = row_ends(rows[i], dim);
        min[i] = ends.min;
        max[i] = ends.max;
    }
    struct ends ends = {lanes_ends(min, 0), lanes_ends(max, 1)};
    if (mask_bits(lanes_equal(ends.min, lanes_set(0))) != 0) {
        ends.min = first_zeros(rows, dim, ends.min);
    }
    return ends;
}

/* affine_store() */
LANES_INLINE lanes lanes_store(lanes v, uint32_t scales)
{
    return scales == NB_SCALES_FP16 ? lanes_half(v) : v;
}

/* affine_raw_scale() */
LANES_INLINE lanes lanes_raw_scale(lanes bias, lanes hi, uint32_t scales)
{
    lanes range = hi - bias;
    lanes scale = lanes_store(range / lanes_set(AFFINE_MAX_CODE), scales);
    return lanes_select(lanes_equal(range, lanes_set(0)), lanes_set(1), scale);
}

/* affine_of_range() of the first n lanes. */
LANES_INLINE void lanes_affine(lanes lo, lanes hi, uint32_t scales, size_t n,
                               struct affine *out)
{
    lanes bias = lanes_store(lo, scales);
    lanes scale = lanes_raw_scale(bias, hi, scales);
    lanes inverse = lanes_abs(lanes_set(1) / scale);
    lanes_mask infinite = lanes_equal(inverse, lanes_set(__builtin_inff()));
    scale = lanes_select(infinite, lanes_set(1), scale);

    float scale_of[LANES];
    float bias_of[LANES];
    lanes_put(scale_of, scale);
    lanes_put(bias_of, bias);
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct affine){.scale = scale_of[i], .bias = bias_of[i]};
    }
}

/* The asym search. */
LANES_INLINE void asym_rows(const struct nb_format *format, const float *x,
                            size_t n_rows, struct affine *chosen)
{
    while (n_rows > 0) {
        const float *rows[LANES];
        size_t n = n_rows < LANES ? n_rows : LANES;
        rows_set(rows, x, n, format->dim);
        struct ends ends = rows_ends(rows, format->dim);
        lanes_affine(ends.min, ends.max, format->scales, n, chosen);
        x += n * format->dim;
        chosen += n;
        n_rows -= n;
    }
}

#endif
