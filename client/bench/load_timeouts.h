/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What has waited too long, and when to look: never before what came while the
 * client itself stood still has been read. */
#ifndef NB_BENCH_LOAD_TIMEOUTS_H
#define NB_BENCH_LOAD_TIMEOUTS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/bench/load_conn.h"

/* Times are of load_now(). */
struct load_timeouts {
    uint64_t timeout_ns;
    uint64_t next_look;
    unsigned n_postponed; /* looks running that the client came late to */
    uint64_t held_up_ns;
};

void load_timeouts_begin(struct load_timeouts *timeouts, uint32_t timeout_ms,
                         uint64_t from);

/* True: look now; the next is set. A look that the client comes late to is
 * postponed, a few times running at most, and the delay is added to
 * held_up_ns. */
bool load_timeouts_due(struct load_timeouts *timeouts, uint64_t now);

bool load_timeouts_overdue(const struct load_timeouts *timeouts,
                           const struct load_slot *slot, uint64_t now);

/* Of a connection with a request that is overdue: it is dead, as one is whose
 * packets are dropped, or whose peer reads no more. */
bool load_timeouts_silent(const struct load_timeouts *timeouts,
                          const struct load_conn *conn, uint64_t now);

#endif
