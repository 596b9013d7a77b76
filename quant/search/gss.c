/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * gss: [-alpha, alpha], alpha in (0, greatest magnitude] by golden-section
 * search for the least squared error, to 1e-3 of the greatest magnitude. The
 * error has several minima; the one found is not always the least.
 */
#include "quant/search/fit.h"
#include "quant/search/search.h"
#include "quant/search/symmetric.h"

#define GOLDEN    0.61803398874989485 /* (sqrt(5) - 1) / 2 */
#define TOLERANCE 1e-3

static double loss_of(const float *x, const struct nb_format *format,
                      double alpha)
{
    return fit_loss(x, format->dim, symmetric_affine(alpha, format->scales));
}

static struct affine choose_row(const float *x, const struct nb_format *format)
{
    double hi = (double)row_max_abs(x, format->dim);
    double lo = 0;
    double least_width = TOLERANCE * hi;
    double left = hi - GOLDEN * (hi - lo);
    double right = lo + GOLDEN * (hi - lo);
    double left_loss = loss_of(x, format, left);
    double right_loss = loss_of(x, format, right);
    while (hi - lo > least_width) {
        if (left_loss < right_loss) {
            hi = right;
            right = left;
            right_loss = left_loss;
            left = hi - GOLDEN * (hi - lo);
            left_loss = loss_of(x, format, left);
        } else {
            lo = left;
            left = right;
            left_loss = right_loss;
            right = lo + GOLDEN * (hi - lo);
            right_loss = loss_of(x, format, right);
        }
    }
    return symmetric_affine((lo + hi) / 2, format->scales);
}

static void choose(const struct nb_format *format, const float *x,
                   size_t n_rows, struct affine *chosen)
{
    for (size_t i = 0; i < n_rows; i++) {
        chosen[i] = choose_row(x + i * format->dim, format);
    }
}

const struct search search_gss = {.name = "gss", .choose = choose};
