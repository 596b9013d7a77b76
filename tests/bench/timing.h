/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Times of one thing, taken in turns with others: medians count. One thread. */
#ifndef NB_TESTS_BENCH_TIMING_H
#define NB_TESTS_BENCH_TIMING_H

#include <stddef.h>
#include <stdint.h>

#define TIMING_ROUNDS_MAX 101

struct timing {
    double ns[TIMING_ROUNDS_MAX];
    size_t n;
};

/* Processor time of this thread, which waiting for memory is part of and being
 * preempted by others is not. */
uint64_t timing_now_ns(void);

/* Notes that `n` things took from `start_ns` until now. */
void timing_add(struct timing *timing, uint64_t start_ns, size_t n);

/* ns a thing: the median, and the width of the middle half. Sorts. */
double timing_median(struct timing *timing);
double timing_spread(struct timing *timing);

#endif
