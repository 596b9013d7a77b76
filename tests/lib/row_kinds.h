/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows of the kinds that quantizing has to get right. */
#ifndef NB_TESTS_LIB_ROW_KINDS_H
#define NB_TESTS_LIB_ROW_KINDS_H

#include <stddef.h>

#include "tests/lib/rng.h"

/* How one value is drawn, given the row's scale, a power of two. */
struct row_kind {
    const char *name;
    float (*value)(struct rng *rng, float scale);
};

/* The i-th kind, NULL past the end. Values are finite and below 65504 in
 * size. */
const struct row_kind *row_kind_at(size_t i);

/* Fills a row of the kind. */
void row_kind_fill(const struct row_kind *kind, struct rng *rng, float *x,
                   size_t dim);

/* Of mean 0 and variance 1. */
double rng_normal(struct rng *rng);

#endif
