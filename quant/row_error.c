/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <math.h>

#include "quant/codec/codec.h"
#include "quant/kernel/kernels.h"
#include "quant/nibble.h"

#define LANES 8

/* One sum a lane; lane i takes the columns i, i + 8, i + 16, ... */
struct lanes {
    double sq_err[LANES];
    double sq_x[LANES];
    double sq_y[LANES];
    double dot[LANES];
    double max_abs[LANES];
};

static void add_value(struct lanes *lanes, size_t lane, double x, double y)
{
    double error = x - y;
    lanes->sq_err[lane] += error * error;
    lanes->sq_x[lane] += x * x;
    lanes->sq_y[lane] += y * y;
    lanes->dot[lane] += x * y;
    double size = fabs(error);
    if (size > lanes->max_abs[lane]) {
        lanes->max_abs[lane] = size;
    }
}

/* Folds the upper half of the lanes onto the lower, three times. */
static double fold_sum(const double lane[LANES])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static double fold_max(const double lane[LANES])
{
    double max = lane[0];
    for (size_t i = 1; i < LANES; i++) {
        max = lane[i] > max ? lane[i] : max;
    }
    return max;
}

void nb_any_error_scalar(const float *x, const float *y, size_t dim,
                         struct nb_row_error *error)
{
    struct lanes lanes = {0};
    for (size_t i = 0; i < dim; i++) {
        add_value(&lanes, i % LANES, (double)x[i], (double)y[i]);
    }
    error->sq_err = fold_sum(lanes.sq_err);
    error->sq_x = fold_sum(lanes.sq_x);
    error->sq_y = fold_sum(lanes.sq_y);
    error->dot = fold_sum(lanes.dot);
    error->max_abs = fold_max(lanes.max_abs);
}

void nb_row_error(const float *x, const float *y, size_t dim,
                  struct nb_row_error *error)
{
    KERNEL_CALL(error, any, x, y, dim, error);
}
