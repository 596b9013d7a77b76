/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/rpc.h"

#include "proto/nibble.pb-c.h"
#include "server/log/probes.h"
#include "server/request/plans.h"
#include "server/request/request_scan.h"
#include "server/request/work.h"

static const struct method {
    rpc_handler_fn *handle;
    const ProtobufCMessageDescriptor *request;
    uint32_t max_request_bytes;
    uint16_t id;
    bool is_work; /* of any size, rather than a question about the server */
} methods[] = {
#define METHOD(id, name, max_request_bytes)                                    \
    {handle_##name, &nibble__v1__##name##_request__descriptor,                 \
     max_request_bytes, id, (max_request_bytes) == UINT32_MAX},
#include "proto/methods.def"
#undef METHOD
};

/* Index in the list; N_METHODS if there is none of that id. */
static size_t find_method(uint16_t id)
{
    size_t i = 0;
    while (i < N_METHODS && methods[i].id != id) {
        i++;
    }
    return i;
}

uint32_t rpc_max_request_bytes(uint16_t method)
{
    size_t i = find_method(method);
    return i < N_METHODS ? methods[i].max_request_bytes : UINT32_MAX;
}

static int decode(struct call *call, const struct method *method,
                  const void *body, size_t bytes, void **message)
{
    if (request_scan(call, method->request, body, bytes) != 0) {
        return -1;
    }
    struct arena *arena = call->arena;
    *message = protobuf_c_message_unpack(method->request, &arena->allocator,
                                         bytes, body);
    if (*message != NULL) {
        return 0;
    }
    if (arena->refused) {
        return call_fail(call, RPC_RESOURCE_EXHAUSTED,
                         "request: takes over %zu bytes to decode",
                         arena->capacity);
    }
    return call_fail(call, RPC_INVALID_ARGUMENT,
                     "request: not a %.64s: a field has the wrong type",
                     method->request->name);
}

/* More work than there is time for: those who come last are told at once. */
static bool is_behind(struct call *call)
{
    uint64_t limit_ms = call->service->options->max_backlog_ms;
    uint64_t behind_ms = service_behind_ms(call->service);
    if (call->queued_ns != 0) {
        behind_ms = (call->service->now_ns() - call->queued_ns) / 1000000u;
    }
    if (limit_ms == 0 || behind_ms <= limit_ms) {
        return false;
    }
    call_fail(call, RPC_RESOURCE_EXHAUSTED,
              "server: overloaded, %llu ms behind, the limit is %llu",
              (unsigned long long)behind_ms, (unsigned long long)limit_ms);
    return true;
}

static void decoded(struct call *call)
{
    PROBE2(decode_done, call->method, call->request_id);
    if (call->times != NULL) {
        call->times->decoded_ns = call->service->now_ns();
    }
}

static int run_new(struct call *call, const struct method *method,
                   const void *body, size_t bytes)
{
    void *message;
    service_spend(call->service, SERVICE_LONG);
    if (decode(call, method, body, bytes, &message) != 0) {
        return -1;
    }
    decoded(call);
    int rv = method->handle(call, message);
    if (rv >= 0 && call->work != NULL) {
        plans_keep(call->service->plans, call, method->request, body, bytes);
    }
    return rv;
}

static int run(struct call *call, size_t index, const void *body, size_t bytes)
{
    if (index == N_METHODS) {
        return call_fail(call, RPC_UNIMPLEMENTED, "method: %u is not known",
                         call->method);
    }
    if (methods[index].is_work && is_behind(call)) {
        return -1;
    }
    uint32_t timeout_ms;
    struct work *work =
        plans_recall(call->service->plans, call, body, bytes, &timeout_ms);
    if (work == NULL) {
        return run_new(call, &methods[index], body, bytes);
    }
    decoded(call);
    return call_set_timeout(call, timeout_ms) == 0
               ? work_begin(call, work->tables, work)
               : -1;
}

static bool finish(struct call *call, size_t index, int rv)
{
    struct counters *counters = call->service->counters;
    PROBE3(lookup_done, call->method, call->request_id, call->code);
    if (index < N_METHODS) {
        counter_add(&counters->methods[index].codes[rv == 0 ? 0 : call->code],
                    1);
        call->service->answered[index]++;
    }
    return rv == 0 ? call_send_reply(call) : call_send_error(call);
}

/* Index of the method, and counts the request, so that a Status counts
 * itself. */
static size_t begin(struct call *call)
{
    size_t index = find_method(call->method);
    if (index < N_METHODS) {
        counter_add(&call->service->counters->methods[index].requests, 1);
    }
    return index;
}

bool rpc_answer(struct call *call, const void *body, size_t bytes)
{
    struct service *service = call->service;
    size_t index = begin(call);
    call->arena = service->arena;
    int rv = run(call, index, body, bytes);
    bool sent = true;
    if (rv > 0) {
        call->has_more = true;
        work_set_aside(call->work);
        outq_hold(call->out);
        service_lend_arena(service);
        return true;
    }
    if (call->cold != NULL || call->is_later) {
        counter_add(&service->counters->methods[index].requests, -(uint64_t)1);
    } else {
        sent = finish(call, index, rv);
    }
    arena_reset(call->arena);
    return sent;
}

bool rpc_continue(struct call *call)
{
    int rv = work_continue(call);
    if (rv > 0) {
        return true;
    }
    bool sent = finish(call, find_method(call->method), rv);
    rpc_abandon(call);
    return sent;
}

void rpc_abandon(struct call *call)
{
    call->has_more = false;
    work_drop(call->work);
    service_return_arena(call->service, call->arena);
}

bool rpc_refuse(struct call *call)
{
    return finish(call, begin(call), -1);
}
