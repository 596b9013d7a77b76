/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/backoff.h"

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t backoff_next_ms(struct backoff *backoff)
{
    uint64_t pause = backoff->first_ms;
    for (uint32_t i = 0; i < backoff->n_tries && pause < backoff->max_ms; i++) {
        pause *= 2;
    }
    pause = pause < backoff->max_ms ? pause : backoff->max_ms;
    if (backoff->n_tries < 32) { /* 2^32 is over any limit */
        backoff->n_tries++;
    }
    uint64_t half = pause / 2;
    return (uint32_t)(pause - next_random(&backoff->random) % (half + 1));
}

void backoff_reset(struct backoff *backoff)
{
    backoff->n_tries = 0;
}
