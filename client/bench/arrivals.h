/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* When requests of an open loop are due, whatever the server does. */
#ifndef NB_BENCH_ARRIVALS_H
#define NB_BENCH_ARRIVALS_H

#include <stdint.h>

#include "client/bench/random_stream.h"

enum arrival_kind {
    ARRIVALS_POISSON, /* independent of each other, as users are */
    ARRIVALS_CONSTANT
};

struct arrivals {
    enum arrival_kind kind;
    double gap_ns;   /* on average */
    double first_ns; /* of constant arrivals */
    double last_ns;
    uint64_t n;
    struct random_stream random;
};

/* Thread `thread` of `n_threads` that together make `rate` requests a second;
 * constant ones take turns, so that together they are constant. */
void arrivals_init(struct arrivals *arrivals, enum arrival_kind kind,
                   double rate, unsigned thread, unsigned n_threads,
                   uint64_t seed);

/* The next moment, in ns from the start. */
uint64_t arrivals_next(struct arrivals *arrivals);

#endif
