/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* How long to wait before trying again: pauses that double up to a limit, of
 * which a random half is taken off, so that many clients of a server that comes
 * back do not all come at once. */
#ifndef NB_CLIENT_BACKOFF_H
#define NB_CLIENT_BACKOFF_H

#include <stdint.h>

struct backoff {
    uint32_t first_ms;
    uint32_t max_ms;
    uint32_t n_tries; /* since the last success */
    uint64_t random;  /* a seed, then the state */
};

/* The next pause: from half of it to all of it. */
uint32_t backoff_next_ms(struct backoff *backoff);

/* It went well: pauses begin at first_ms again. */
void backoff_reset(struct backoff *backoff);

#endif
