/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * sawb: [-alpha, alpha] with alpha = c1 sqrt(E[x^2]) - c2 E|x|, the constants
 * fitted for 16 levels; the greatest magnitude where that is not positive.
 * Alpha may be far beyond the greatest magnitude, which is why short rows lose.
 */
#include "quant/search/search.h"
#include "quant/search/symmetric.h"

#define C1 12.68
#define C2 12.80

static struct affine choose_row(const float *x, const struct nb_format *format)
{
    double sum = 0;
    double squares = 0;
    for (size_t i = 0; i < format->dim; i++) {
        sum += fabs((double)x[i]);
        squares += (double)x[i] * (double)x[i];
    }
    double n = (double)format->dim;
    double alpha = C1 * sqrt(squares / n) - C2 * (sum / n);
    double max = (double)row_max_abs(x, format->dim);
    return symmetric_affine(alpha > 0 && alpha < max ? alpha : max,
                            format->scales);
}

static void choose(const struct nb_format *format, const float *x,
                   size_t n_rows, struct affine *chosen)
{
    for (size_t i = 0; i < n_rows; i++) {
        chosen[i] = choose_row(x + i * format->dim, format);
    }
}

const struct search search_sawb = {.name = "sawb", .choose = choose};
