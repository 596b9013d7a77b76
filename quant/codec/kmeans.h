/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The best levels for values: k-means in one dimension, exact by dynamic
 * programming.
 */
#ifndef NB_QUANT_KMEANS_H
#define NB_QUANT_KMEANS_H

#include <stddef.h>
#include <stdint.h>

#define KMEANS_LEVELS     16 /* of a row */
#define KMEANS_MAX_LEVELS 32

/*
 * The n_levels levels (2..KMEANS_MAX_LEVELS), ascending, that minimize the sum
 * of the squared distances of n values (1..NB_DIM_MAX, finite) from the
 * nearest. If there are no more distinct values than levels, these are the
 * values, the last repeated. Beyond KMEANS_EXACT values the least is over
 * levels that part the sorted values between runs of a few neighbours.
 */
#define KMEANS_EXACT 4096
void kmeans_levels(const float *x, size_t n, float *levels, size_t n_levels);

/* Index of a level nearest to x, halfway between two the lower one; levels
 * ascending. */
static inline uint8_t kmeans_nearest(float x, const float levels[KMEANS_LEVELS])
{
    unsigned code = 0;
    for (unsigned i = 1; i < KMEANS_LEVELS; i++) {
        /* In double the midpoint is exact. */
        code +=
            (double)x + (double)x > (double)levels[i - 1] + (double)levels[i];
    }
    return (uint8_t)code;
}

#endif
