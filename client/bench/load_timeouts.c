/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/load_timeouts.h"

/* Every request has its timeout and at most this much more. */
#define LOOK_EVERY_NS 250000000u
/* Later than that the client was held up; as long it then has to read. */
#define LATE_NS       (LOOK_EVERY_NS / 4)
#define POSTPONED_MAX 4u

void load_timeouts_begin(struct load_timeouts *timeouts, uint32_t timeout_ms,
                         uint64_t from)
{
    *timeouts = (struct load_timeouts){
        .timeout_ns = (uint64_t)timeout_ms * 1000000u,
        .next_look = from + LOOK_EVERY_NS,
    };
}

bool load_timeouts_due(struct load_timeouts *timeouts, uint64_t now)
{
    if (now < timeouts->next_look) {
        return false;
    }
    uint64_t late = now - timeouts->next_look;
    bool held_up = late > LATE_NS;
    timeouts->held_up_ns += held_up ? late : 0;
    /* Not for ever, or a client that is always late would never look. */
    bool postpone = held_up && timeouts->n_postponed < POSTPONED_MAX;
    timeouts->n_postponed = postpone ? timeouts->n_postponed + 1 : 0;
    timeouts->next_look = now + (postpone ? LATE_NS : LOOK_EVERY_NS);
    return !postpone;
}

static bool is_past(const struct load_timeouts *timeouts, uint64_t from,
                    uint64_t now)
{
    return now > from && now - from > timeouts->timeout_ns;
}

bool load_timeouts_overdue(const struct load_timeouts *timeouts,
                           const struct load_slot *slot, uint64_t now)
{
    return slot->state == SLOT_WAITING &&
           is_past(timeouts, slot->sent != 0 ? slot->sent : slot->due, now);
}

bool load_timeouts_silent(const struct load_timeouts *timeouts,
                          const struct load_conn *conn, uint64_t now)
{
    return is_past(timeouts, conn->quiet_since, now);
}
