/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Counts of durations, log-linear: exact below 2^8 ns, then 128 buckets to each
 * power of two, so that a percentile is at most 1/128 above the true one. One
 * thread adds to it; merging loses nothing. */
#ifndef NB_BENCH_HISTOGRAM_H
#define NB_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

/* Zero-filled is empty. */
struct histogram {
    uint64_t n;
    uint64_t sum; /* ns; wraps after 584 years of them */
    uint64_t least;
    uint64_t most;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t ns);
void histogram_merge(struct histogram *to, const struct histogram *from);

/* The least recorded value, to 1/128, that at least `share` (0..1) of all are
 * not above; 0 of an empty one. */
uint64_t histogram_at(const struct histogram *histogram, double share);

/* 0 of an empty one. */
double histogram_mean(const struct histogram *histogram);

#endif
