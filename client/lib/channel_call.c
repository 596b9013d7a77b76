/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * A call of a channel, from its entry to its end.
 *
 * Happy path: the call is put on the connection of the replica that has the
 * fewest unanswered; the answer is checked and placed; the call ends, its
 * arrays are the caller's again, `done` is called. If packed rows need
 * parameters that are not at hand, the reply is parked meanwhile and the call
 * asks for them, as it asked for the rows. If hedge_ms pass, the same frame
 * goes to another replica; the first answer ends the call.
 *
 * Failure modes: an attempt that came to nothing (its connection was lost, the
 * server is not available) is made again, while there is another one left and
 * time; without a connection the call waits for one. The timer ends it at the
 * deadline, wherever it is.
 *
 * On close: call_cancel().
 */
#include <stdlib.h>
#include <string.h>

#include "client/lib/channel.h"
#include "client/lib/remote_error.h"
#include "client/lib/reply_params.h"
#include "proto/rpc_code.h"

#define NS_PER_MS 1000000u

static void begin_attempt(struct channel_call *call,
                          const struct channel_replica *but);

/* ---- the end ---------------------------------------------------------- */

static bool under_way(const struct channel_call *call)
{
    return call->attempts[0].conn != NULL || call->attempts[1].conn != NULL;
}

static void abandon_attempts(struct channel_call *call)
{
    for (int i = 0; i < CALL_ATTEMPTS; i++) {
        if (call->attempts[i].conn != NULL) {
            conn_abandon(&call->attempts[i]);
        }
    }
}

/* Nothing is touched after `done` but what is the channel's: it may have taken
 * the call for another one. */
static void end(struct channel_call *call, const struct nb_outcome *outcome)
{
    struct nb_channel *channel = call->channel;
    nb_done_fn *done = call->done;
    void *arg = call->arg;
    uint8_t *parked = call->parked;
    abandon_attempts(call);
    if (call->waiting) {
        call_list_remove(&channel->waiting, call);
    }
    if (call->has_timer) {
        uv_timer_stop(&call->timer);
    }
    call->parked = NULL;
    call->begun = call->waiting = false;
    tally_add(&channel->tally.failed, outcome->code != 0);
    channel_release(channel, call);
    done(arg, outcome);
    free(parked);
}

static const char *address_of(const struct channel_call *call)
{
    return call->replica != NULL ? call->replica->address : NULL;
}

static void fail(struct channel_call *call, int code, const char *message)
{
    const struct nb_outcome outcome = {
        .code = code, .message = message, .address = address_of(call)};
    end(call, &outcome);
}

static void end_blocks(struct channel_call *call, const struct nb_reply *reply)
{
    const struct nb_outcome outcome = {
        .message = "",
        .address = address_of(call),
        .version = reply->version,
        .n_blocks = reply->n_blocks,
        .blocks = reply->blocks,
    };
    if (call->blocks != NULL) {
        memcpy(call->blocks, reply->blocks,
               reply->n_blocks * sizeof(*reply->blocks));
    }
    end(call, &outcome);
}

void call_cancel(struct channel_call *call)
{
    fail(call, NB_ERR_CANCELLED, nb_strerror(NB_ERR_CANCELLED));
}

/* ---- attempts --------------------------------------------------------- */

/* The readiest connection of the least loaded replica other than `but`, or of
 * `only`, where these are not NULL. */
static struct channel_conn *choose(struct nb_channel *channel,
                                   const struct channel_replica *but,
                                   const struct channel_replica *only)
{
    struct channel_conn *best = NULL;
    channel->turn++;
    for (uint32_t i = 0; i < channel->n_conns; i++) {
        struct channel_conn *conn =
            &channel->conns[(channel->turn + i) % channel->n_conns];
        if (conn->replica == but || (only != NULL && conn->replica != only) ||
            !conn_has_room(conn)) {
            continue;
        }
        if (best == NULL ||
            conn->replica->n_unanswered < best->replica->n_unanswered ||
            (conn->replica == best->replica &&
             conn->n_unanswered < best->n_unanswered)) {
            best = conn;
        }
    }
    return best;
}

static void send_on(struct channel_call *call, struct channel_conn *conn)
{
    struct channel_attempt *attempt =
        &call->attempts[call->attempts[0].conn != NULL];
    attempt->call = call;
    conn_send(conn, attempt, &call->frame, call->method);
}

/* An attempt that comes late tells the server what is left of the time. The
 * request has been checked, and does not get longer: nothing can fail. */
static void tell_time_left(struct channel_call *call)
{
    struct nb_errctx text;
    uint64_t now = uv_hrtime();
    if (call->method != call->asked || call->asked == FRAME_METHOD_status ||
        now >= call->deadline) {
        return;
    }
    uint64_t left_ms = (call->deadline - now + NS_PER_MS - 1) / NS_PER_MS;
    const struct request_call head = {.method = call->asked,
                                      .timeout_ms = (uint32_t)left_ms};
    (void)request_frame_encode(&call->frame, &head, &call->request, &text);
}

static void begin_attempt(struct channel_call *call,
                          const struct channel_replica *but)
{
    struct nb_channel *channel = call->channel;
    struct channel_conn *conn = choose(channel, but, NULL);
    if (conn == NULL && but != NULL) {
        conn = choose(channel, NULL, NULL);
    }
    if (conn != NULL) {
        if (call->n_failed > 0) {
            tell_time_left(call);
        }
        send_on(call, conn);
        return;
    }
    call->waiting = true;
    call_list_push(&channel->waiting, call);
}

void channel_send_waiting(struct nb_channel *channel)
{
    struct channel_call *call;
    struct channel_conn *conn;
    while ((call = channel->waiting.first) != NULL &&
           (conn = choose(channel, NULL, NULL)) != NULL) {
        call_list_remove(&channel->waiting, call);
        call->waiting = false;
        tell_time_left(call);
        send_on(call, conn);
    }
}

/* False: that was the last one. */
static bool may_try_again(struct channel_call *call)
{
    call->n_failed++;
    return call->n_failed < call->channel->options.max_attempts &&
           !call->channel->shut;
}

void call_attempt_lost(struct channel_attempt *attempt, int code,
                       const char *why)
{
    struct channel_call *call = attempt->call;
    if (under_way(call)) {
        return; /* the other one may still come to something */
    }
    if (!may_try_again(call)) {
        fail(call, code, why);
        return;
    }
    tally_add(&call->channel->tally.retries, 1);
    begin_attempt(call, NULL);
}

/* ---- time ------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void start_timer(struct channel_call *call, uint64_t now)
{
    uint64_t at = call->deadline;
    if (!call->hedged && call->hedge_at < at) {
        at = call->hedge_at;
    }
    uint64_t left = at > now ? at - now : 0;
    uv_timer_start(&call->timer, on_timer, (left + NS_PER_MS - 1) / NS_PER_MS,
                   0);
}

/* Hedges are paid for by calls, so that a fleet that is slow is not given twice
 * the load as well. */
static void earn_hedge(struct nb_channel *channel)
{
    uint64_t most = call_hedge_credit_max(&channel->options);
    uint64_t credit = channel->hedge_credit + channel->options.hedge_percent;
    channel->hedge_credit = credit < most ? credit : most;
}

static bool pay_hedge(struct nb_channel *channel)
{
    if (channel->hedge_credit < HEDGE_COST) {
        tally_add(&channel->tally.hedges_held, 1);
        return false;
    }
    channel->hedge_credit -= HEDGE_COST;
    return true;
}

/* To another replica than the one that keeps it waiting. */
static void hedge(struct channel_call *call)
{
    if (!under_way(call)) {
        call->hedge_at =
            uv_hrtime() + (uint64_t)call->channel->options.hedge_ms * NS_PER_MS;
        return;
    }
    call->hedged = true;
    const struct channel_attempt *first =
        &call->attempts[call->attempts[0].conn == NULL];
    struct channel_conn *conn =
        choose(call->channel, first->conn->replica, NULL);
    if (conn != NULL && pay_hedge(call->channel)) {
        tally_add(&call->channel->tally.hedges, 1);
        if (!first->item.queued) { /* else it would send the changed frame */
            tell_time_left(call);
        }
        send_on(call, conn);
    }
}

static void time_out(struct channel_call *call)
{
    struct nb_errctx text;
    const struct channel_conn *conn = call->attempts[0].conn != NULL
                                          ? call->attempts[0].conn
                                          : call->attempts[1].conn;
    if (conn != NULL) {
        nb_fail(&text, 0, "%.128s: no reply within %u ms",
                conn->replica->address, call->timeout_ms);
    } else {
        const char *why = call->channel->last_loss.text;
        nb_fail(&text, 0, "no connection within %u ms%s%s", call->timeout_ms,
                why[0] != '\0' ? ": " : "", why);
    }
    fail(call, NB_ERR_TIMEOUT, text.text);
}

static void on_timer(uv_timer_t *timer)
{
    struct channel_call *call = timer->data;
    uint64_t now = uv_hrtime();
    if (now >= call->deadline) {
        time_out(call);
        return;
    }
    if (!call->hedged && now >= call->hedge_at) {
        hedge(call);
    }
    start_timer(call, now); /* the loop's clock may be behind */
}

void call_begin(struct channel_call *call)
{
    struct nb_channel *channel = call->channel;
    if (!call->has_timer) {
        uv_timer_init(channel->loop, &call->timer);
        call->timer.data = call;
        call->has_timer = true;
        channel->n_open++;
    }
    call->begun = true;
    earn_hedge(channel);
    call->hedged = channel->options.hedge_ms == 0 || channel->n_replicas == 1;
    start_timer(call, uv_hrtime());
    begin_attempt(call, NULL);
}

/* ---- answers ---------------------------------------------------------- */

/* Asks anew from the beginning. */
static int start_over(struct channel_call *call, const char *why)
{
    struct nb_errctx text;
    const struct request_call head = {.method = call->asked,
                                      .timeout_ms = call->timeout_ms};
    abandon_attempts(call); /* of a hedge, which would send the new frame */
    free(call->parked);
    call->parked = NULL;
    call->method = call->asked;
    if (!may_try_again(call)) {
        fail(call, NB_ERR_REMOTE, why);
        return 0;
    }
    int rv = request_frame_encode(&call->frame, &head, &call->request, &text);
    if (rv != 0) {
        fail(call, rv, text.text);
        return 0;
    }
    tally_add(&call->channel->tally.retries, 1);
    begin_attempt(call, NULL);
    return 0;
}

/* Asks for the parameters of the block that is to be placed next. */
static int ask_params(struct channel_call *call, uint64_t version,
                      const uint8_t *body, size_t bytes)
{
    struct nb_errctx text;
    struct nb_request request = {
        .model = call->request.model,
        .version = version,
        .features = &call->request.features[call->n_placed],
        .n_features = 1,
    };
    const struct request_call head = {.method = FRAME_METHOD_status};
    if (call->parked == NULL) {
        call->parked = malloc(bytes);
        if (call->parked == NULL) {
            fail(call, NB_ERR_NOMEM, "no memory to keep a packed reply");
            return 0;
        }
        memcpy(call->parked, body, bytes);
        call->parked_bytes = bytes;
    }
    abandon_attempts(call); /* of a hedge that is late */
    int rv = request_frame_encode_params(&call->frame, &head, &request, &text);
    if (rv != 0) {
        fail(call, rv, text.text);
        return 0;
    }
    call->method = FRAME_METHOD_status;
    /* Of the replica that has this version for sure. */
    struct channel_conn *conn = choose(call->channel, NULL, call->replica);
    if (conn != NULL) {
        send_on(call, conn);
    } else {
        begin_attempt(call, NULL);
    }
    return 0;
}

/* Reads a reply to a lookup or pool, and ends the call if all of it can be
 * placed. An error: the reply does not fit the request. */
static int take_blocks(struct channel_call *call, const uint8_t *body,
                       size_t bytes, struct nb_errctx *err)
{
    struct nb_channel *channel = call->channel;
    struct nb_reply reply;
    int rv = reply_blocks_read(&channel->blocks, body, bytes, &call->request,
                               call->asked == FRAME_METHOD_pool, &reply, err);
    if (rv == NB_ERR_NOMEM) {
        fail(call, rv, nb_strerror(rv));
        return 0;
    }
    bool place = call->target.targets != NULL || call->target.matrix != NULL;
    struct nb_block *blocks = channel->blocks.blocks;
    size_t n_placed = call->parked != NULL ? call->n_placed : 0;
    for (size_t i = 0; rv == 0 && place && i < reply.n_blocks; i++) {
        const struct nb_params *params = NULL;
        if (i < n_placed) {
            reply_place_again(blocks, reply.n_blocks, i, &call->target);
            continue;
        }
        if (blocks[i].dtype == NB_PACKED && blocks[i].params != 0) {
            params = params_cache_get(&channel->params, blocks[i].params,
                                      &blocks[i].format);
            if (params == NULL) {
                call->n_placed = i;
                return ask_params(call, reply.version, body, bytes);
            }
        }
        rv = reply_place(blocks, reply.n_blocks, i, &call->target, params, err);
    }
    if (rv == NB_ERR_TOO_LARGE || rv == NB_ERR_UNSUPPORTED) {
        const struct nb_errctx why = *err;
        fail(call, rv, why.text);
        return 0;
    }
    if (rv == 0) {
        end_blocks(call, &reply);
    }
    return rv;
}

static bool same_format(const struct nb_format *a, const struct nb_format *b)
{
    return a->codec == b->codec && a->dim == b->dim && a->scales == b->scales;
}

/* Parameters have come for a reply that is parked. */
static int take_params(struct channel_call *call, const uint8_t *body,
                       size_t bytes, struct nb_errctx *err)
{
    struct nb_channel *channel = call->channel;
    struct nb_table_params *params = NULL;
    struct nb_reply reply;
    int rv = reply_params_read(body, bytes, &params, err);
    if (rv != 0) {
        if (rv != NB_ERR_MESSAGE) {
            const struct nb_errctx why = *err;
            fail(call, rv, why.text);
            return 0;
        }
        return rv;
    }
    (void)reply_blocks_read(&channel->blocks, call->parked, call->parked_bytes,
                            &call->request, call->asked == FRAME_METHOD_pool,
                            &reply, NULL);
    const struct nb_block *block = &channel->blocks.blocks[call->n_placed];
    if (params->id != block->params ||
        !same_format(&params->format, &block->format)) {
        nb_table_params_free(params);
        return start_over(call, "the parameters of a table change while they "
                                "are asked for");
    }
    params_cache_put(&channel->params, params);
    return take_blocks(call, call->parked, call->parked_bytes, err);
}

static int take_status(struct channel_call *call, const uint8_t *body,
                       size_t bytes)
{
    const struct nb_outcome outcome = {.message = "",
                                       .address = address_of(call),
                                       .body = body,
                                       .body_bytes = bytes};
    end(call, &outcome);
    return 0;
}

/* Another replica may do better: a hedge that is under way, and any other one
 * after UNAVAILABLE, which is about this one. */
static bool try_elsewhere(struct channel_call *call, uint32_t code,
                          const struct channel_replica *replica)
{
    if (under_way(call)) {
        return true;
    }
    if (code != RPC_UNAVAILABLE ||
        choose(call->channel, replica, NULL) == NULL || !may_try_again(call)) {
        return false;
    }
    tally_add(&call->channel->tally.retries, 1);
    begin_attempt(call, replica);
    return true;
}

static int take_error(struct channel_attempt *attempt,
                      const struct channel_replica *replica,
                      const uint8_t *body, size_t bytes, struct nb_errctx *err)
{
    struct channel_call *call = attempt->call;
    struct remote_error error;
    struct nb_errctx text;
    if (remote_error_read(body, bytes, &error) != 0) {
        return nb_fail(err, NB_ERR_MESSAGE, "malformed error reply");
    }
    nb_fail(&text, 0, "%.128s: %s (%u): %s", replica->address,
            remote_error_name(error.code), error.code, error.message);
    if (try_elsewhere(call, error.code, replica)) {
        return 0;
    }
    if (call->parked != NULL && error.code == RPC_NOT_FOUND) {
        return start_over(call, text.text); /* that version is gone */
    }
    const struct nb_outcome outcome = {.code = NB_ERR_REMOTE,
                                       .remote_code = error.code,
                                       .message = text.text,
                                       .address = replica->address};
    end(call, &outcome);
    return 0;
}

int call_answered(struct channel_attempt *attempt,
                  const struct channel_replica *replica,
                  const struct frame_header *header, const uint8_t *body,
                  struct nb_errctx *err)
{
    struct channel_call *call = attempt->call;
    size_t bytes = header->body_bytes;
    if (header->kind == FRAME_ERROR) {
        return take_error(attempt, replica, body, bytes, err);
    }
    if (attempt == &call->attempts[1] && call->attempts[0].conn != NULL) {
        tally_add(&call->channel->tally.hedge_won, 1);
    }
    call->replica = replica;
    if (call->parked != NULL) {
        return take_params(call, body, bytes, err);
    }
    return call->asked == FRAME_METHOD_status
               ? take_status(call, body, bytes)
               : take_blocks(call, body, bytes, err);
}
