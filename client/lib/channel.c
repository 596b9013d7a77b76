/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Where calls enter. A call is taken by whoever asks: it gets one of max_calls
 * places, is checked and encoded there, and put into `entered`; the loop takes
 * it from there in channel_take_entered(), before it waits for events again.
 */
#include "client/lib/channel.h"

#define NS_PER_MS 1000000u

/* ---- lists ------------------------------------------------------------ */

void call_list_push(struct call_list *list, struct channel_call *call)
{
    call->next = NULL;
    call->prev = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = call;
    list->last = call;
}

void call_list_remove(struct call_list *list, struct channel_call *call)
{
    *(call->prev != NULL ? &call->prev->next : &list->first) = call->next;
    *(call->next != NULL ? &call->next->prev : &list->last) = call->prev;
}

/* ---- the loop --------------------------------------------------------- */

/* Takes what callers have left here: all that has entered, and one call to be
 * cancelled, which has been begun by then. */
static struct channel_call *take(struct nb_channel *channel,
                                 struct channel_call **entered, bool *closing)
{
    uv_mutex_lock(&channel->lock);
    struct channel_call *cancelled = channel->cancelled;
    if (cancelled != NULL) {
        channel->cancelled = cancelled->next_cancelled;
        cancelled->cancelled = false;
    }
    *entered = channel->entered.first;
    channel->entered = (struct call_list){NULL, NULL};
    *closing = channel->closing;
    uv_mutex_unlock(&channel->lock);
    return cancelled;
}

void channel_take_entered(struct nb_channel *channel)
{
    struct channel_call *entered;
    struct channel_call *cancelled;
    bool closing;
    do {
        cancelled = take(channel, &entered, &closing);
        while (entered != NULL) {
            struct channel_call *call = entered;
            entered = entered->next;
            call_begin(call);
        }
        if (cancelled != NULL) {
            call_cancel(cancelled);
        }
    } while (cancelled != NULL);
    if (closing && !channel->shut) {
        channel_shut(channel);
    }
}

/* ---- calls ------------------------------------------------------------ */

void channel_release(struct nb_channel *channel, struct channel_call *call)
{
    uv_mutex_lock(&channel->lock);
    if (call->cancelled) {
        struct channel_call **at = &channel->cancelled;
        while (*at != call) {
            at = &(*at)->next_cancelled;
        }
        *at = call->next_cancelled;
        call->cancelled = false;
    }
    call->ticket = 0;
    call->next = channel->free;
    channel->free = call;
    tally_add(&channel->tally.unanswered, -1);
    if (channel->closing) {
        uv_cond_signal(&channel->released);
    }
    uv_mutex_unlock(&channel->lock);
}

static int take_call(struct nb_channel *channel, struct channel_call **call,
                     struct nb_errctx *err)
{
    int rv = 0;
    uv_mutex_lock(&channel->lock);
    struct channel_call *taken = channel->free;
    if (channel->closing) {
        rv = nb_fail(err, NB_ERR_CANCELLED, "the channel is being closed");
    } else if (taken == NULL) {
        rv = nb_fail(err, NB_ERR_EXHAUSTED, "%u calls are unanswered",
                     channel->options.max_calls);
    } else {
        channel->free = taken->next;
        tally_add(&channel->tally.unanswered, 1);
        *call = taken;
    }
    uv_mutex_unlock(&channel->lock);
    return rv;
}

/* Nothing of the struct is kept but what the call was given. */
static void fill_call(struct channel_call *call,
                      const struct nb_request *request,
                      const struct nb_call_options *options)
{
    const struct nb_channel_options *set = &call->channel->options;
    uint64_t now = uv_hrtime();
    call->request = *request;
    call->target = (struct reply_target){options->targets, options->matrix};
    call->blocks = options->blocks;
    call->timeout_ms =
        options->timeout_ms != 0 ? options->timeout_ms : set->timeout_ms;
    call->deadline = now + (uint64_t)call->timeout_ms * NS_PER_MS;
    call->hedge_at = now + (uint64_t)set->hedge_ms * NS_PER_MS;
    call->n_failed = 0;
    call->n_placed = 0;
    call->replica = NULL;
}

static int encode(struct channel_call *call, struct nb_errctx *err)
{
    bool pool = call->asked == FRAME_METHOD_pool;
    const struct request_call head = {.method = call->asked,
                                      .timeout_ms = call->timeout_ms};
    if (call->asked == FRAME_METHOD_status) {
        return request_frame_encode_empty(&call->frame, &head, err);
    }
    int rv = request_frame_encode(&call->frame, &head, &call->request, err);
    return rv == 0 ? reply_place_check(&call->request, pool, &call->target, err)
                   : rv;
}

/* False: the channel has been closed meanwhile. */
static bool enter(struct nb_channel *channel, struct channel_call *call,
                  uint64_t *ticket)
{
    uv_mutex_lock(&channel->lock);
    bool taken = !channel->closing;
    bool wake = channel->entered.first == NULL;
    if (taken) {
        call->ticket = ++channel->n_tickets * channel->options.max_calls +
                       (uint64_t)(call - channel->calls);
        call_list_push(&channel->entered, call);
        tally_add(&channel->tally.calls, 1);
        if (ticket != NULL) {
            *ticket = call->ticket;
        }
        if (wake) {
            channel_wake(channel);
        }
    }
    uv_mutex_unlock(&channel->lock);
    return taken;
}

static int start(struct nb_channel *channel, uint16_t method,
                 const struct nb_request *request,
                 const struct nb_call_options *options, nb_done_fn *done,
                 void *arg, uint64_t *ticket, struct nb_errctx *err)
{
    const struct nb_call_options none = {0};
    struct channel_call *call = NULL;
    if (request == NULL || done == NULL) {
        return nb_fail(err, NB_ERR_INVALID, "a call without %s",
                       done == NULL ? "done" : "request");
    }
    int rv = take_call(channel, &call, err);
    if (call == NULL) {
        return rv;
    }
    call->method = call->asked = method;
    call->done = done;
    call->arg = arg;
    fill_call(call, request, options != NULL ? options : &none);
    rv = encode(call, err);
    if (rv == 0 && !enter(channel, call, ticket)) {
        rv = nb_fail(err, NB_ERR_CANCELLED, "the channel is being closed");
    }
    if (rv != 0) {
        channel_release(channel, call);
    }
    return rv;
}

int nb_channel_lookup(struct nb_channel *channel,
                      const struct nb_request *request,
                      const struct nb_call_options *options, nb_done_fn *done,
                      void *arg, uint64_t *ticket, struct nb_errctx *err)
{
    return start(channel, FRAME_METHOD_lookup, request, options, done, arg,
                 ticket, err);
}

int nb_channel_pool(struct nb_channel *channel,
                    const struct nb_request *request,
                    const struct nb_call_options *options, nb_done_fn *done,
                    void *arg, uint64_t *ticket, struct nb_errctx *err)
{
    return start(channel, FRAME_METHOD_pool, request, options, done, arg,
                 ticket, err);
}

int nb_channel_status(struct nb_channel *channel, uint32_t timeout_ms,
                      nb_done_fn *done, void *arg, uint64_t *ticket,
                      struct nb_errctx *err)
{
    const struct nb_request nothing = {0};
    const struct nb_call_options options = {.timeout_ms = timeout_ms};
    return start(channel, FRAME_METHOD_status, &nothing, &options, done, arg,
                 ticket, err);
}

void nb_channel_cancel(struct nb_channel *channel, uint64_t ticket)
{
    struct channel_call *call =
        &channel->calls[ticket % channel->options.max_calls];
    uv_mutex_lock(&channel->lock);
    bool found = ticket != 0 && call->ticket == ticket && !call->cancelled;
    if (found) {
        call->cancelled = true;
        call->next_cancelled = channel->cancelled;
        channel->cancelled = call;
        channel_wake(channel);
    }
    uv_mutex_unlock(&channel->lock);
}

void nb_channel_count(struct nb_channel *channel,
                      struct nb_channel_counts *counts)
{
    struct channel_tally *tally = &channel->tally;
    *counts = (struct nb_channel_counts){
        .calls = tally->calls,
        .failed = tally->failed,
        .retries = tally->retries,
        .hedges = tally->hedges,
        .hedge_won = tally->hedge_won,
        .hedges_held = tally->hedges_held,
        .connects = tally->connects,
        .losses = tally->losses,
        .connected = (uint32_t)tally->connected,
        .unanswered = (uint32_t)tally->unanswered,
    };
}
