/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/search_rows.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

static uint32_t search_id(const char *name)
{
    uint32_t id = 0;
    ck_assert_int_eq(nb_search_by_name(name, &id), 0);
    return id;
}

struct affine search_row(const char *name, const float *x, uint32_t dim,
                         uint32_t scales)
{
    struct nb_format format = {.codec = 1, .dim = dim, .scales = scales};
    struct affine chosen;
    search_by_id(search_id(name))->choose(&format, x, 1, &chosen);
    return chosen;
}

double search_row_error(const char *name, const float *x, uint32_t dim,
                        uint32_t scales)
{
    struct nb_format format = {.codec = 1, .dim = dim, .scales = scales};
    size_t bytes;
    ck_assert_int_eq(nb_row_bytes(&format, &bytes), 0);
    uint8_t *row = malloc(bytes);
    float *y = malloc(dim * sizeof(float));
    ck_assert(row != NULL && y != NULL);
    ck_assert_int_eq(
        nb_encode(&format, NULL, search_id(name), x, 1, row, bytes), 0);
    struct nb_rows rows = {
        .format = format, .base = row, .n_rows = 1, .stride = bytes};
    ck_assert_int_eq(nb_decode(&rows, 0, 1, NB_FP32, y), 0);
    struct nb_row_error error;
    nb_row_error(x, y, dim, &error);
    free(row);
    free(y);
    return error.sq_err;
}

double search_line_error(const float *x, uint32_t dim, double scale,
                         double bias)
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++) {
        double code = fmin(fmax(rint(((double)x[i] - bias) / scale), 0), 15);
        double error = (double)x[i] - (scale * code + bias);
        sum += error * error;
    }
    return sum;
}
