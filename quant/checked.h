/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Arithmetic on sizes from outside. Each returns true and stores the result, or
 * returns false on overflow and stores nothing of use. */
#ifndef NB_QUANT_CHECKED_H
#define NB_QUANT_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* Rounds up to a multiple of `to`, a power of two. */
static inline bool checked_round_up(uint64_t a, uint64_t to, uint64_t *out)
{
    uint64_t sum;
    if (!checked_add(a, to - 1, &sum)) {
        return false;
    }
    *out = sum & ~(to - 1);
    return true;
}

#endif
