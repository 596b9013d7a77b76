/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Numbers that look random and are always the same: splitmix64. */
#ifndef NB_STORAGE_MIX64_H
#define NB_STORAGE_MIX64_H

#include <stdint.h>

/* The index-th number of the stream `seed`. */
static inline uint64_t mix64(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* The same in (0, 1), never an end. */
static inline double mix64_unit(uint64_t seed, uint64_t index)
{
    return ((double)(mix64(seed, index) >> 12) + 0.5) * 0x1p-52;
}

/* The same below n, n > 0: the upper half of a product, free of bias to about n
 * in 2^64. */
static inline uint64_t mix64_below(uint64_t seed, uint64_t index, uint64_t n)
{
    return (uint64_t)((unsigned __int128)mix64(seed, index) * n >> 64);
}

#endif
