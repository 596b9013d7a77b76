/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The histogram searches: the values of a row counted in 200 bins between its
 * least and its greatest, taken as spread evenly within each bin, and a range
 * of whole bins [start, start + n) cut into 16 cells that decode to their
 * centres; values outside belong to the nearest cell. The norm of a range is
 * the squared error, in integers: no rounding, so no order of evaluation.
 */
#ifndef NB_QUANT_HIST_H
#define NB_QUANT_HIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/search/affine.h"
#include "quant/search/minmax.h"

#define HIST_BINS  200
#define HIST_CELLS INT64_C(16)
#define HIST_FINE  (HIST_BINS * HIST_CELLS) /* every edge of a cell is one */

struct hist {
    struct minmax range;
    int64_t below[HIST_BINS + 1];  /* values in the bins before */
    int64_t first[HIST_BINS + 1];  /* their first moment, in fine units */
    int64_t second[HIST_BINS + 1]; /* 3 x their second moment */
    /* 32 x the integral up to an edge of the number of values below it. */
    int64_t integral[HIST_FINE + 1];
};

/* Counts a row that is not constant; false if it is. */
bool hist_count(struct hist *hist, const float *x, size_t dim);

/* 48 x the norm of [start, start + n) in fine units, n >= 1, and a lower bound
 * of it: what lies outside. */
int64_t hist_norm(const struct hist *hist, int64_t start, int64_t n);
int64_t hist_norm_outside(const struct hist *hist, int64_t start, int64_t n);

/* Bins [start, start + n) as a range of values, the ends being the first and
 * the last level. */
struct affine hist_affine(const struct hist *hist, int64_t start, int64_t n,
                          uint32_t scales);

#endif
