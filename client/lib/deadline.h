/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Waiting for a socket until a moment of the monotonic clock. */
#ifndef NB_CLIENT_DEADLINE_H
#define NB_CLIENT_DEADLINE_H

#include <stdint.h>

/* The moment `timeout_ms` from now. */
uint64_t deadline_after_ms(uint32_t timeout_ms);

/* Milliseconds left, rounded up, 0 if it has passed. */
uint32_t deadline_left_ms(uint64_t deadline);

/* Waits for any of `events` (an error or hang-up counts as all of them), also
 * when the deadline has passed already: then it only looks. The events, > 0;
 * NB_ERR_TIMEOUT; -errno. */
int deadline_poll(int fd, int events, uint64_t deadline);

#endif
