/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/slow_request.h"

#include <stdio.h>

#include "server/request/status_fill.h"

bool slow_request_begin(struct slow_request *slow, struct call *call)
{
    if (call->service->options->slow_request_ms == 0 || slow->watching) {
        return false;
    }
    *slow = (struct slow_request){.watching = true,
                                  .method = call->method,
                                  .request_id = call->request_id,
                                  .arrived_ns = call->arrived_ns};
    slow->times.begun_ns = call->service->now_ns();
    call->times = &slow->times;
    return true;
}

void slow_request_answered(struct slow_request *slow, const struct call *call,
                           uint64_t sent_at)
{
    slow->times.answered_ns = call->service->now_ns();
    slow->code = call->code;
    slow->sent_at = sent_at;
}

struct seconds {
    char text[32];
};

/* "0.012345s" */
static struct seconds seconds(uint64_t from_ns, uint64_t to_ns)
{
    struct seconds made;
    uint64_t us = to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
    snprintf(made.text, sizeof(made.text), "%llu.%06llus",
             (unsigned long long)us / 1000000,
             (unsigned long long)us % 1000000);
    return made;
}

static const char *method_text(uint16_t method)
{
    switch (method) {
#define METHOD(id, name, max_request_bytes)                                    \
    case id:                                                                   \
        return #name;
#include "proto/methods.def"
#undef METHOD
    default:
        return "unknown";
    }
}

static void log_slow(const struct slow_request *slow, uint64_t conn_id,
                     uint64_t now_ns, uint32_t suppressed)
{
    const struct call_times *times = &slow->times;
    uint64_t decoded_ns =
        times->decoded_ns != 0 ? times->decoded_ns : times->answered_ns;
    log_info("slow-request",
             "conn=%llu method=%s id=%u code=%s took=%s wait=%s decode=%s "
             "lookup=%s write=%s suppressed=%u",
             (unsigned long long)conn_id, method_text(slow->method),
             slow->request_id, status_code_name(slow->code),
             seconds(slow->arrived_ns, now_ns).text,
             seconds(slow->arrived_ns, times->begun_ns).text,
             seconds(times->begun_ns, decoded_ns).text,
             seconds(decoded_ns, times->answered_ns).text,
             seconds(times->answered_ns, now_ns).text, suppressed);
}

void slow_request_sent(struct slow_request *slow, struct service *service,
                       uint64_t conn_id, uint64_t sent_bytes)
{
    uint32_t suppressed;
    if (!slow->watching || slow->times.answered_ns == 0 ||
        sent_bytes < slow->sent_at) {
        return;
    }
    slow->watching = false;
    uint64_t now_ns = service->now_ns();
    if (now_ns - slow->arrived_ns >
            service->options->slow_request_ms * 1000000u &&
        log_allowed(&service->slow_log, now_ns, &suppressed)) {
        log_slow(slow, conn_id, now_ns, suppressed);
    }
}
