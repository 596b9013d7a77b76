/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/load_result.h"

#include <math.h>
#include <stddef.h>

#include "client/lib/remote_error.h"

const char *load_error_name(unsigned kind)
{
    static const char *const names[LOAD_ERROR_KINDS] = {
        [LOAD_ERROR_OTHER_CODE] = "other code",
        [LOAD_ERROR_CONNECTION] = "connection",
        [LOAD_ERROR_TIMEOUT] = "timeout",
        [LOAD_ERROR_MALFORMED] = "malformed reply",
        [LOAD_ERROR_MISMATCH] = "mismatch",
        [LOAD_ERROR_UNCHECKED] = "cannot check",
    };
    return kind < LOAD_REMOTE_CODES ? remote_error_name(kind) : names[kind];
}

uint64_t load_result_errors(const struct load_result *result)
{
    uint64_t n = 0;
    for (size_t i = 0; i < LOAD_ERROR_KINDS; i++) {
        n += result->errors[i];
    }
    return n;
}

void load_result_error(struct load_result *result, unsigned kind,
                       const char *what)
{
    result->errors[kind]++;
    if (result->first_error.text[0] == '\0') {
        nb_fail(&result->first_error, 0, "%s", what);
    }
}

static void merge_versions(struct load_result *to,
                           const struct load_result *from)
{
    if (from->versions_least != 0 &&
        (to->versions_least == 0 ||
         from->versions_least < to->versions_least)) {
        to->versions_least = from->versions_least;
    }
    if (from->versions_most > to->versions_most) {
        to->versions_most = from->versions_most;
    }
}

void load_result_merge(struct load_result *to, const struct load_result *from)
{
    histogram_merge(&to->latency, &from->latency);
    histogram_merge(&to->service, &from->service);
    histogram_merge(&to->delay, &from->delay);
    to->n_requests += from->n_requests;
    to->n_replies += from->n_replies;
    to->n_late += from->n_late;
    to->n_held += from->n_held;
    to->n_unsent += from->n_unsent;
    to->bytes_received += from->bytes_received;
    to->n_unseen += from->n_unseen;
    to->n_verified += from->n_verified;
    to->n_reconnects += from->n_reconnects;
    to->n_failed_dials += from->n_failed_dials;
    for (size_t i = 0; i < LOAD_ERROR_KINDS; i++) {
        to->errors[i] += from->errors[i];
    }
    merge_versions(to, from);
    to->wall_s = fmax(to->wall_s, from->wall_s);
    to->busy_s += from->busy_s;
    to->busiest_share = fmax(to->busiest_share, from->busiest_share);
    to->waiting_share = fmax(to->waiting_share, from->waiting_share);
    to->held_up_share = fmax(to->held_up_share, from->held_up_share);
    if (to->first_error.text[0] == '\0') {
        to->first_error = from->first_error;
    }
}

static void count_delay(struct load_result *result,
                        const struct load_slot *slot)
{
    uint64_t delay = slot->sent > slot->due ? slot->sent - slot->due : 0;
    histogram_add(&result->delay, delay);
    if (delay >= LOAD_LATE_NS) {
        result->n_late++;
        result->n_held += slot->held;
    }
}

void load_result_times(struct load_result *result, const struct load_slot *slot,
                       uint64_t now, bool is_open_loop)
{
    result->n_requests++;
    histogram_add(&result->latency, now - slot->due);
    if (slot->sent != 0) {
        histogram_add(&result->service, now - slot->sent);
        if (is_open_loop) {
            count_delay(result, slot);
        }
    }
}
