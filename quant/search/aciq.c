/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * aciq: the row taken for Laplace (alpha = 5.03 E|x - mean|) and for Gaussian
 * (alpha = 2.55 sigma); mean -+ alpha, within the row's least and greatest
 * value; of the two the one with less measured error.
 */
#include <math.h>

#include "quant/search/fit.h"
#include "quant/search/minmax.h"
#include "quant/search/search.h"

#define LAPLACE  5.03
#define GAUSSIAN 2.55

static struct affine clipped(struct minmax range, double mean, double alpha,
                             uint32_t scales)
{
    double lo = fmax(mean - alpha, (double)range.min);
    double hi = fmin(mean + alpha, (double)range.max);
    return affine_of_range((float)lo, (float)hi, scales);
}

static struct affine choose_row(const float *x, const struct nb_format *format)
{
    struct minmax range = row_minmax(x, format->dim);
    double n = (double)format->dim;
    double mean = 0;
    for (size_t i = 0; i < format->dim; i++) {
        mean += (double)x[i];
    }
    mean /= n;
    double deviation = 0;
    double variance = 0;
    for (size_t i = 0; i < format->dim; i++) {
        double from_mean = (double)x[i] - mean;
        deviation += fabs(from_mean);
        variance += from_mean * from_mean;
    }
    struct affine laplace =
        clipped(range, mean, LAPLACE * (deviation / n), format->scales);
    struct affine gaussian =
        clipped(range, mean, GAUSSIAN * sqrt(variance / n), format->scales);
    return fit_loss(x, format->dim, laplace) <
                   fit_loss(x, format->dim, gaussian)
               ? laplace
               : gaussian;
}

static void choose(const struct nb_format *format, const float *x,
                   size_t n_rows, struct affine *chosen)
{
    for (size_t i = 0; i < n_rows; i++) {
        chosen[i] = choose_row(x + i * format->dim, format);
    }
}

const struct search search_aciq = {.name = "aciq", .choose = choose};
