/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* How long things took: a histogram with one writer, which anyone may sum. Ten
 * buckets a decade from 1 us to 10 s, so that a percentile read from it is
 * within a tenth or two of the value. */
#ifndef NB_SERVER_DURATIONS_H
#define NB_SERVER_DURATIONS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define DURATION_BOUNDS 71
/* One more than bounds: of what is over the last. */
#define DURATION_BUCKETS (DURATION_BOUNDS + 1)

/* Upper bounds of the buckets, inclusive, ascending. */
extern const uint64_t duration_bounds_ns[DURATION_BOUNDS];

struct durations {
    _Atomic uint64_t counts[DURATION_BUCKETS];
    _Atomic uint64_t sum_ns;
};

struct duration_totals {
    uint64_t counts[DURATION_BUCKETS];
    uint64_t sum_ns;
};

/* `n` things took `ns` each. By the one thread that writes. */
void durations_add(struct durations *durations, uint64_t ns, uint64_t n);

/* Adds what is in `from`; any thread. */
void durations_sum(const struct durations *from, struct duration_totals *to);

#endif
