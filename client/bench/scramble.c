/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * A Feistel network over the least even number of bits that holds n, walked
 * until it comes back below n: a permutation of a subset, for its cycles are
 * those of the network with the other numbers left out. The domain is below
 * four times n, so four steps are to be expected at worst.
 */
#include "client/bench/scramble.h"

#include "storage/mix64.h"

#define ROUNDS 4

void scramble_init(struct scramble *scramble, uint64_t n, uint64_t seed)
{
    unsigned bits = n > 1 ? 64u - (unsigned)__builtin_clzll(n - 1) : 1;
    *scramble =
        (struct scramble){.n = n, .seed = seed, .half_bits = (bits + 1) / 2};
}

static uint64_t shuffle(const struct scramble *scramble, uint64_t value)
{
    uint64_t mask = (UINT64_C(1) << scramble->half_bits) - 1;
    uint64_t left = value >> scramble->half_bits;
    uint64_t right = value & mask;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t mixed = left ^ (mix64(scramble->seed + i, right) & mask);
        left = right;
        right = mixed;
    }
    return left << scramble->half_bits | right;
}

uint64_t scramble_at(const struct scramble *scramble, uint64_t index)
{
    do {
        index = shuffle(scramble, index);
    } while (index >= scramble->n);
    return index;
}
