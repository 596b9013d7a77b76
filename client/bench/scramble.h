/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A bijection of 0..n-1 that leaves nothing of the order: what is popular is
 * not what has low ids. */
#ifndef NB_BENCH_SCRAMBLE_H
#define NB_BENCH_SCRAMBLE_H

#include <stdint.h>

struct scramble {
    uint64_t n;
    uint64_t seed;
    unsigned half_bits;
};

/* n >= 1. */
void scramble_init(struct scramble *scramble, uint64_t n, uint64_t seed);

/* Where `index` (below n) goes: below n. */
uint64_t scramble_at(const struct scramble *scramble, uint64_t index);

#endif
