/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Least and greatest value of a row. Of equal ones the first, which matters for
 * the sign of a zero bias. */
#ifndef NB_QUANT_MINMAX_H
#define NB_QUANT_MINMAX_H

#include <stddef.h>

struct minmax {
    float min;
    float max;
};

static inline struct minmax row_minmax(const float *x, size_t dim)
{
    struct minmax range = {.min = x[0], .max = x[0]};
    for (size_t i = 1; i < dim; i++) {
        range.min = x[i] < range.min ? x[i] : range.min;
        range.max = x[i] > range.max ? x[i] : range.max;
    }
    return range;
}

#endif
