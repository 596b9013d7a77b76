/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Requests that took longer than --slow-request, told in the log with where the
 * time went. Of a connection one request is watched at a time, until its answer
 * is sent. Without the option, the clock is not looked at. */
#ifndef NB_SERVER_SLOW_REQUEST_H
#define NB_SERVER_SLOW_REQUEST_H

#include <stdbool.h>

#include "server/request/call.h"

/* Zeroed memory watches nothing. */
struct slow_request {
    bool watching;
    uint16_t method;
    uint32_t request_id;
    uint32_t code;
    uint64_t arrived_ns;
    uint64_t sent_at; /* bytes sent once its answer is */
    struct call_times times;
};

/* Before a request is answered: true if it is watched. */
bool slow_request_begin(struct slow_request *slow, struct call *call);

/* It has been; its answer is sent when `sent_at` bytes are. */
void slow_request_answered(struct slow_request *slow, const struct call *call,
                           uint64_t sent_at);

/* `sent_bytes` bytes are: logs the request if it is over and was slow. */
void slow_request_sent(struct slow_request *slow, struct service *service,
                       uint64_t conn_id, uint64_t sent_bytes);

#endif
