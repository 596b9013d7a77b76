/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The walk over a job's bags, which all pooling kernels share. */
#ifndef NB_QUANT_BAGS_H
#define NB_QUANT_BAGS_H

#include "quant/kernel/kernels.h"

/* The rows of one bag, or of a part of one. */
struct kernel_bag {
    const uint8_t *const *rows;
    const float *weights; /* one a row, or NULL */
    size_t n;
    bool resume; /* go on from the sums instead of from nothing */
};

/* Result of a bag: divided by `divisor` unless that is 0. */
struct kernel_result {
    uint8_t *out;
    float divisor;
};

/*
 * pool(job, bag, sums) accumulates a bag's rows into the sums; finish(job,
 * sums, result) makes the results of them. Both are constants where this is
 * called, so that no call is left.
 */
#define KERNEL_FOR_BAGS(job, pool, finish)                                     \
    do {                                                                       \
        struct kernel_sums local;                                              \
        struct kernel_sums *sums = (job)->sums ? (job)->sums : &local;         \
        struct kernel_bag bag = {(job)->rows, (job)->weights, 0,               \
                                 (job)->resume};                               \
        struct kernel_result result = {(job)->out, 0};                         \
        for (size_t b = 0; b < (job)->n_bags; b++) {                           \
            bag.n = (job)->counts[b];                                          \
            pool(job, &bag, sums);                                             \
            if (!(job)->suspend) {                                             \
                result.divisor =                                               \
                    (job)->lengths ? (float)(job)->lengths[b] : 0;             \
                finish(job, sums, &result);                                    \
            }                                                                  \
            bag.rows += bag.n;                                                 \
            if (bag.weights != NULL) {                                         \
                bag.weights += bag.n;                                          \
            }                                                                  \
            result.out += (job)->out_stride;                                   \
        }                                                                      \
    } while (0)

#endif
