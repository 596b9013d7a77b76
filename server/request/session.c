/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/session.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "server/request/call.h"
#include "server/request/cold_read.h"
#include "server/log/probes.h"
#include "server/request/plans.h"
#include "server/request/rpc.h"
#include "server/request/turns.h"

/* Kept input starts small, so that many idle peers with a few bytes each cost
 * little, and grows with what has really come, never with what a header only
 * claims. */
#define IN_SMALL_BYTES ((size_t)2 << 10)
#define IN_READ_BYTES  ((size_t)32 << 10)

void session_init(struct session *session, struct service *service)
{
    *session = (struct session){.service = service};
    outq_init(&session->out, &service->pool);
}

/* ---- the whole --------------------------------------------------------- */

void session_fini(struct session *session)
{
    counter_add(&session->service->counters->unsent_bytes,
                -(uint64_t)session->out.bytes);
    turns_give_up(session);
    outq_fini(&session->out);
    turns_leave(session);
    if (session->cold != NULL) {
        cold_read_forget(session->cold);
    }
    buf_give(&session->service->pool, session->in);
    session->in = NULL;
}

static void begin_call(struct session *session,
                       const struct frame_header *header, struct call *call)
{
    memset(call, 0, offsetof(struct call, message));
    call->service = session->service;
    call->out = &session->out;
    call->method = header->method;
    call->request_id = header->request_id;
    call->arrived_ns = session->arrived_ns;
    call->deadline_ns = UINT64_MAX;
    call->message[0] = '\0';
}

static void end_without_memory(struct session *session)
{
    session->ended = true;
    nb_fail(&session->why, NB_ERR_NOMEM, "out of memory");
}

static void end_with(struct session *session, const struct frame_header *header,
                     uint32_t code)
{
    struct call call;
    begin_call(session, header, &call);
    call_fail(&call, (enum rpc_code)code, "%s", session->why.text);
    session->ended = true;
    call_send_error(&call); /* the session ends with or without it */
}

void session_refuse(struct session *session, uint32_t code, const char *why)
{
    const struct frame_header none = {0};
    if (why != session->why.text) {
        nb_fail(&session->why, NB_ERR_FRAME, "%s", why);
    }
    end_with(session, &none, code);
}

/* ---- frames ---------------------------------------------------------- */

/* The smaller of the server's limit and the method's own. */
static uint32_t body_limit(const struct session *session, const uint8_t *header)
{
    /* The method may be looked at before the header has been checked. */
    uint16_t method = (uint16_t)(header[6] | header[7] << 8);
    uint64_t limit = session->service->options->max_frame_bytes;
    uint32_t own = rpc_max_request_bytes(method);
    return own < limit ? own : (uint32_t)limit;
}

/* A request over a limit is answered at once, and its body dropped as it
 * comes. */
static void refuse_large(struct session *session,
                         const struct frame_header *header, const char *why)
{
    struct call call;
    begin_call(session, header, &call);
    call_fail(&call, RPC_RESOURCE_EXHAUSTED, "%s", why);
    session->skip_bytes = header->body_bytes;
    session->skipped = *header;
    if (!rpc_refuse(&call)) {
        end_without_memory(session);
    }
}

static void on_warm(void *arg)
{
    struct session *session = arg;
    session->service->warm(session);
}

static void end_answer(struct session *session, const struct call *call)
{
    if (call->times != NULL) {
        slow_request_answered(&session->slow, call,
                              session->sent_bytes + session->out.bytes);
    }
}

/* The next piece of a call may have to wait for pages; if they cannot be read
 * ahead, it reads them. */
static void await_pages(struct session *session, struct call *call)
{
    if (call->cold != NULL &&
        cold_read_start(session->service, call->cold, on_warm, session)) {
        session->cold = call->cold;
    }
    call->cold = NULL;
}

static void put_in_pieces(struct session *session, struct call *call)
{
    *session->service->large = *call;
    turns_begin_pieces(session);
    await_pages(session, session->service->large);
}

/* False: it is put off; or it cannot be, and is to be asked again, which
 * answers it from disk. */
static bool answer(struct session *session, const struct frame_header *header,
                   const uint8_t *body)
{
    struct call call;
    begin_call(session, header, &call);
    call.may_put_off = session->n_cold < COLD_READS_MAX;
    call.if_large = turns_if_large(session);
    call.queued_ns = session->queued_ns;
    PROBE3(frame_in, session->conn_id, header->method, header->body_bytes);
    bool timed = slow_request_begin(&session->slow, &call);
    if (!rpc_answer(&call, body, header->body_bytes)) {
        end_without_memory(session);
    }
    if (!call.may_put_off) { /* rows were read from disk meanwhile */
        service_spend(session->service, SERVICE_LONG);
    }
    if (call.has_more) {
        session->n_cold = 0;
        put_in_pieces(session, &call);
        return true;
    }
    if (call.cold != NULL || call.is_later) {
        session->slow.watching = session->slow.watching && !timed;
    }
    if (call.is_later) {
        turns_join(session);
        return false;
    }
    if (call.cold != NULL) {
        session->n_cold++;
        if (cold_read_start(session->service, call.cold, on_warm, session)) {
            session->cold = call.cold;
        } else {
            session->n_cold = COLD_READS_MAX;
        }
        return false;
    }
    session->n_cold = 0;
    end_answer(session, &call);
    return true;
}

void session_sent(struct session *session, size_t bytes)
{
    struct counters *counters = session->service->counters;
    outq_consume(&session->out, bytes);
    counter_add(&counters->bytes_sent, bytes);
    counter_add(&counters->unsent_bytes, -(uint64_t)bytes);
    session->sent_bytes += bytes;
    PROBE2(reply_sent, session->conn_id, bytes);
    slow_request_sent(&session->slow, session->service, session->conn_id,
                      session->sent_bytes);
}

/* What is answered next finds its rows in the cache. */
static void look_ahead(const struct session *session, const uint8_t *data,
                       size_t bytes)
{
    struct frame_header header;
    if (bytes >= FRAME_HEADER_BYTES &&
        frame_header_get(data, UINT32_MAX, &header, NULL) == 0 &&
        bytes - FRAME_HEADER_BYTES >= header.body_bytes) {
        plans_prefetch(session->service->plans, header.method,
                       data + FRAME_HEADER_BYTES, header.body_bytes);
    }
}

/* Takes one frame, or of a refused one its header, from the front. Returns the
 * bytes taken, 0 if the frame is not whole, or put off. */
static size_t take_frame(struct session *session, const uint8_t *data,
                         size_t bytes)
{
    if (bytes < FRAME_HEADER_BYTES) {
        return 0;
    }
    struct frame_header header;
    int rv = frame_header_get(data, body_limit(session, data), &header,
                              &session->why);
    if (rv == NB_ERR_TOO_LARGE) {
        refuse_large(session, &header, session->why.text);
        return FRAME_HEADER_BYTES;
    }
    if (rv == 0 && header.kind != FRAME_REQUEST) {
        rv = nb_fail(&session->why, NB_ERR_FRAME,
                     "frame: kind is %u, a server takes requests, 0",
                     header.kind);
    }
    if (rv != 0) {
        counter_add(&session->service->counters->bad_frames, 1);
        session_refuse(session, RPC_INVALID_ARGUMENT, session->why.text);
        return 0;
    }
    if (bytes - FRAME_HEADER_BYTES < header.body_bytes) {
        return 0;
    }
    size_t frame_bytes = FRAME_HEADER_BYTES + (size_t)header.body_bytes;
    look_ahead(session, data + frame_bytes, bytes - frame_bytes);
    while (!answer(session, &header, data + FRAME_HEADER_BYTES)) {
        if (session->cold != NULL || session->waiting) {
            return 0;
        }
    }
    return frame_bytes;
}

static size_t take_skipped(struct session *session, size_t bytes)
{
    size_t n =
        bytes < session->skip_bytes ? bytes : (size_t)session->skip_bytes;
    session->skip_bytes -= n;
    return n;
}

static bool is_full(const struct session *session)
{
    const struct options *options = session->service->options;
    return session->out.bytes > options->write_high_bytes ||
           session->out.n_replies >= options->max_in_flight;
}

/* Answers whole frames until there is no more, or too much is unsent. Returns
 * the bytes taken. */
static size_t take_frames(struct session *session, const uint8_t *data,
                          size_t bytes)
{
    size_t taken = 0;
    bool answered = false;
    service_spend(session->service, SERVICE_LONG);
    while (!session->ended && !turns_in_pieces(session) && taken < bytes) {
        session->paused = is_full(session);
        session->queued_ns = session->paused ? 0 : session->queued_ns;
        if (session->paused ||
            turns_must_wait(session, data + taken, bytes - taken)) {
            break;
        }
        size_t n = session->skip_bytes != 0
                       ? take_skipped(session, bytes - taken)
                       : take_frame(session, data + taken, bytes - taken);
        if (n == 0) {
            break;
        }
        taken += n;
        answered = true;
        session->queued_ns = 0;
        if (session->service->from_line == session) {
            session->service->from_line = NULL;
            session->service->large_done = true;
        }
        if (session->skip_bytes == 0) {
            session->began_ns = 0;
        }
    }
    if (answered) {
        service_count_latency(session->service, session->arrived_ns);
    }
    bool partial = taken < bytes || session->skip_bytes != 0;
    if (!partial || session_holds_back(session)) {
        session->began_ns = 0;
    } else if (session->began_ns == 0) {
        session->began_ns = session->arrived_ns;
    }
    return taken;
}

/* ---- input ----------------------------------------------------------- */

/* The frame begun, of which `data` has `bytes` bytes, finds no memory: it is
 * refused and the rest of it dropped as it comes, so that the connection lives
 * on. NB_ERR_NOMEM: that cannot be, and the session has ended. */
static int refuse_begun(struct session *session, const uint8_t *data,
                        size_t bytes)
{
    struct frame_header header;
    if (session_holds_back(session) || bytes < FRAME_HEADER_BYTES ||
        frame_header_get(data, UINT32_MAX, &header, NULL) != 0) {
        end_without_memory(session);
        return NB_ERR_NOMEM;
    }
    char why[128];
    snprintf(why, sizeof(why),
             "request: no memory for %u bytes now, of the %llu of --max-memory",
             header.body_bytes,
             (unsigned long long)session->service->options->max_memory_bytes);
    refuse_large(session, &header, why);
    session->skip_bytes -= bytes - FRAME_HEADER_BYTES;
    return session->ended ? NB_ERR_NOMEM : 0;
}

/* Moves kept input to a buffer with room for at least `bytes` bytes. */
static int grow(struct session *session, size_t bytes)
{
    struct buf *old = session->in;
    struct buf *buf = buf_take(&session->service->pool, bytes);
    if (buf == NULL) {
        return NB_ERR_NOMEM;
    }
    if (old != NULL) {
        buf->end = old->end - old->start;
        memcpy(buf->data, old->data + old->start, buf->end);
    }
    buf_give(&session->service->pool, old);
    session->in = buf;
    return 0;
}

static void compact(struct buf *buf)
{
    if (buf->start != 0) {
        memmove(buf->data, buf->data + buf->start, buf->end - buf->start);
        buf->end -= buf->start;
        buf->start = 0;
    }
}

/* Makes room behind kept input; without memory for more, what is left of its
 * buffer will do, or the frame is given up. */
static int make_room(struct session *session)
{
    compact(session->in);
    struct buf *in = session->in;
    if (in->capacity - in->end >= IN_READ_BYTES ||
        grow(session, in->end + IN_READ_BYTES) == 0 || in->end < in->capacity) {
        return 0;
    }
    int rv = refuse_begun(session, in->data, in->end);
    buf_give(&session->service->pool, in);
    session->in = NULL;
    return rv;
}

int session_window(struct session *session, void **base, size_t *bytes)
{
    *bytes = 0;
    if (session->in != NULL) {
        int rv = make_room(session);
        if (rv != 0) {
            return rv;
        }
    }
    const struct buf *in = session->in;
    *base =
        in != NULL ? session->in->data + in->end : session->service->scratch;
    *bytes = in != NULL ? in->capacity - in->end : SERVICE_SCRATCH_BYTES;
    return 0;
}

/* Keeps what of the loop's memory was not taken. */
static void keep_rest(struct session *session, const uint8_t *data,
                      size_t bytes)
{
    if (bytes == 0 || session->ended) {
        return;
    }
    if (grow(session, bytes > IN_SMALL_BYTES ? bytes : IN_SMALL_BYTES) != 0) {
        refuse_begun(session, data, bytes);
        return;
    }
    memcpy(session->in->data, data, bytes);
    session->in->end = bytes;
}

static void take_kept(struct session *session)
{
    struct buf *in = session->in;
    in->start +=
        take_frames(session, in->data + in->start, in->end - in->start);
    if (in->start == in->end || session->ended) {
        buf_give(&session->service->pool, in);
        session->in = NULL;
    }
}

void session_received(struct session *session, size_t bytes, uint64_t now_ns)
{
    if (session->ended || bytes == 0) {
        return;
    }
    session->arrived_ns = now_ns;
    if (session->in != NULL) {
        assert(bytes <= session->in->capacity - session->in->end);
        session->in->end += bytes;
        take_kept(session);
        return;
    }
    const uint8_t *data = session->service->scratch;
    size_t taken = take_frames(session, data, bytes);
    keep_rest(session, data + taken, bytes - taken);
}

/* Answers what was held back, if it is not still. A frame begun behind it is
 * not late for that. */
static void go_on(struct session *session)
{
    if (session->ended || session->in == NULL) {
        return;
    }
    take_kept(session);
    if (session->began_ns != 0) {
        session->began_ns = session->service->now_ns();
    }
}

bool session_resume(struct session *session)
{
    const struct options *options = session->service->options;
    if (!session->paused || session->ended ||
        session->out.bytes > options->write_low_bytes ||
        session->out.n_replies > options->max_in_flight / 2) {
        return false;
    }
    session->paused = false;
    if (session->in == NULL) {
        return false;
    }
    size_t before = session->out.n_replies;
    go_on(session);
    return session->out.n_replies > before;
}

void session_stop_waiting(struct session *session, bool answer)
{
    turns_leave(session);
    if (answer) {
        session->service->from_line = session;
        go_on(session);
        session->service->from_line = NULL;
    }
}

void session_continue(struct session *session, bool answer)
{
    struct service *service = session->service;
    struct call *call = service->large;
    if (!answer || session->ended) {
        turns_give_up(session);
        return;
    }
    if (!rpc_continue(call)) {
        end_without_memory(session);
    }
    if (call->has_more) {
        await_pages(session, call);
        return;
    }
    turns_end_pieces(session);
    service->large_done = true; /* the next has to wait for its turn */
    end_answer(session, call);
    service_count_latency(service, call->arrived_ns);
    go_on(session);
}

void session_stop_reading(struct session *session, bool answer)
{
    session->cold = NULL;
    if (answer && !turns_in_pieces(session)) {
        go_on(session);
    }
}

bool session_holds_back(const struct session *session)
{
    return session->paused || session->waiting || session->cold != NULL ||
           turns_in_pieces(session);
}

bool session_wants_input(const struct session *session)
{
    return !session->ended && !session_holds_back(session);
}

size_t session_missing(const struct session *session)
{
    if (session->skip_bytes != 0) {
        return session->skip_bytes;
    }
    const struct buf *in = session->in;
    size_t have = in != NULL ? in->end - in->start : 0;
    if (have < FRAME_HEADER_BYTES) {
        return FRAME_HEADER_BYTES - have;
    }
    struct frame_header header = {0};
    frame_header_get(in->data + in->start, UINT32_MAX, &header, NULL);
    size_t frame = FRAME_HEADER_BYTES + (size_t)header.body_bytes;
    return frame > have ? frame - have : 1;
}

bool session_is_idle(const struct session *session)
{
    return session->in == NULL && session->skip_bytes == 0 &&
           session->out.bytes == 0 && !turns_in_pieces(session);
}

/* How much of the frame begun is there, and its header, which is all zeros
 * while that is not whole. */
static uint64_t begun(const struct session *session,
                      struct frame_header *header)
{
    *header = (struct frame_header){0};
    if (session->skip_bytes != 0) {
        *header = session->skipped;
        return FRAME_HEADER_BYTES + header->body_bytes - session->skip_bytes;
    }
    const struct buf *in = session->in;
    size_t have = in != NULL ? in->end - in->start : 0;
    if (have >= FRAME_HEADER_BYTES) {
        frame_header_get(in->data + in->start, UINT32_MAX, header, NULL);
    }
    return have;
}

void session_check_time(struct session *session, uint64_t now_ns)
{
    const struct options *options = session->service->options;
    if (session->ended || session->began_ns == 0) {
        return;
    }
    struct frame_header of;
    uint64_t have = begun(session, &of);
    bool header = have < FRAME_HEADER_BYTES;
    uint64_t limit_ms =
        header ? options->header_timeout_ms : options->request_timeout_ms;
    if (limit_ms == 0 || now_ns - session->began_ns < limit_ms * 1000000u) {
        return;
    }
    nb_fail(&session->why, NB_ERR_TIMEOUT,
            "frame: %s not whole after %llu ms, %llu bytes came",
            header ? "header" : "body", (unsigned long long)limit_ms,
            (unsigned long long)(header ? have : have - FRAME_HEADER_BYTES));
    counter_add(&session->service->counters->bad_frames, 1);
    end_with(session, &of, RPC_DEADLINE_EXCEEDED);
}
