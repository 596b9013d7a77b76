/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/call.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/nibble.pb-c.h"
#include "server/log/probes.h"

int call_fail(struct call *call, enum rpc_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(call->message, sizeof(call->message), format, args);
    va_end(args);
    call->code = code;
    /* Names in it came from the peer, and protobuf strings are UTF-8. */
    for (char *at = call->message; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~') {
            *at = '?';
        }
    }
    return -1;
}

static int check_deadline(struct call *call, uint64_t now_ns)
{
    if (now_ns <= call->deadline_ns) {
        return 0;
    }
    return call_fail(call, RPC_DEADLINE_EXCEEDED,
                     "timeout_ms: passed; %llu ms since the request came",
                     (unsigned long long)(now_ns - call->arrived_ns) / 1000000);
}

int call_set_timeout(struct call *call, uint32_t timeout_ms)
{
    if (timeout_ms == 0) {
        return 0;
    }
    call->timeout_ms = timeout_ms;
    call->deadline_ns = call->arrived_ns + (uint64_t)timeout_ms * 1000000u;
    return check_deadline(call, service_recent_ns(call->service));
}

int call_check_deadline(struct call *call)
{
    return call->deadline_ns != UINT64_MAX
               ? check_deadline(call, call->service->now_ns())
               : 0;
}

int call_array(struct call *call, size_t n, size_t bytes, void **memory)
{
    void *array = arena_array(call->arena, n, bytes);
    if (array == NULL) {
        return call_fail(call, RPC_RESOURCE_EXHAUSTED,
                         "request: takes over %zu bytes to decode",
                         call->arena->capacity);
    }
    memset(array, 0, n * bytes);
    *memory = array;
    return 0;
}

int call_reserve(struct call *call, uint64_t body_bytes, void **body)
{
    uint64_t max = call->service->options->max_reply_bytes;
    if (body_bytes > max) {
        return call_fail(call, RPC_RESOURCE_EXHAUSTED,
                         "reply: %llu bytes are over the limit of %llu",
                         (unsigned long long)body_bytes,
                         (unsigned long long)max);
    }
    call->frame = outq_reserve(call->out, FRAME_HEADER_BYTES + body_bytes);
    if (call->frame == NULL) {
        return call_fail(
            call, RPC_RESOURCE_EXHAUSTED,
            "reply: no memory for %llu bytes now, of the %llu of "
            "--max-memory",
            (unsigned long long)body_bytes,
            (unsigned long long)call->service->options->max_memory_bytes);
    }
    call->body_bytes = (uint32_t)body_bytes;
    *body = call->frame + FRAME_HEADER_BYTES;
    return 0;
}

static void commit(struct call *call, enum frame_kind kind)
{
    const struct frame_header header = {
        .kind = (uint8_t)kind,
        .method = call->method,
        .request_id = call->request_id,
        .body_bytes = call->body_bytes,
    };
    size_t bytes = FRAME_HEADER_BYTES + (size_t)call->body_bytes;
    frame_header_put(call->frame, &header);
    outq_commit(call->out, bytes);
    PROBE3(reply_queued, call->method, call->request_id, bytes);
    counter_add(&call->service->counters->unsent_bytes, bytes);
}

bool call_send_reply(struct call *call)
{
    assert(call->frame != NULL);
    commit(call, FRAME_REPLY);
    return true;
}

bool call_send_error(struct call *call)
{
    Nibble__V1__Error error = NIBBLE__V1__ERROR__INIT;
    error.code = call->code;
    error.message = call->message;
    size_t bytes = nibble__v1__error__get_packed_size(&error);
    call->frame = outq_reserve(call->out, FRAME_HEADER_BYTES + bytes);
    if (call->frame == NULL) {
        return false;
    }
    nibble__v1__error__pack(&error, call->frame + FRAME_HEADER_BYTES);
    call->body_bytes = (uint32_t)bytes;
    commit(call, FRAME_ERROR);
    return true;
}
