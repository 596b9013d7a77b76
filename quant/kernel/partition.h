/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#ifndef NB_QUANT_PARTITION_H
#define NB_QUANT_PARTITION_H

#include <stddef.h>

/* Copies n values, those outside [low, high] (and NaNs) to the front of `out`,
 * the others to its back; returns how many are outside. Each value is written
 * to both ends of what is free, and one of the ends moves: no branch. */
static inline size_t partition_values(const float *x, size_t n, float low,
                                      float high, float *out)
{
    size_t front = 0;
    size_t back = n;
    for (size_t i = 0; i < n; i++) {
        unsigned within = (unsigned)(x[i] >= low) & (unsigned)(x[i] <= high);
        out[front] = x[i];
        out[back - 1] = x[i];
        front += 1 - within;
        back -= within;
    }
    return front;
}

#endif
