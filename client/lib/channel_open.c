/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Beginning and end of a channel, on the caller's loop or on a thread of its
 * own, which runs a loop until nothing is left on it.
 *
 * Happy path: everything is reserved, the handles are made, the connections
 * begin to connect by timers that the loop will run. on_prepare() comes before
 * every wait for events: calls are taken, and what they put on connections
 * leaves.
 *
 * Failure modes: all that can fail comes before the first handle.
 *
 * On close: on_prepare() ends every call and closes the handles; when the last
 * is closed the channel is freed, if it has a thread by the one that joins it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/channel.h"
#include "client/lib/dial.h"

#define CONNECTIONS_MAX 256u
#define REPLICAS_MAX    256u
#define CALLS_MAX       65536u

/* ---- end -------------------------------------------------------------- */

static void free_parts(struct nb_channel *channel)
{
    for (uint32_t i = 0; i < channel->n_conns; i++) {
        conn_fini(&channel->conns[i]);
    }
    for (uint32_t i = 0; i < channel->n_calls; i++) {
        request_frame_fini(&channel->calls[i].frame);
    }
    for (uint32_t i = 0; i < channel->n_replicas; i++) {
        free(channel->replicas[i].address);
    }
    reply_blocks_fini(&channel->blocks);
    params_cache_fini(&channel->params);
    free(channel->calls);
    free(channel->conns);
    free(channel->replicas);
}

static void free_channel(struct nb_channel *channel)
{
    free_parts(channel);
    uv_cond_destroy(&channel->released);
    uv_mutex_destroy(&channel->lock);
    free(channel);
}

void channel_handle_closed(struct nb_channel *channel)
{
    if (--channel->n_open > 0 || !channel->shut || channel->has_thread) {
        return;
    }
    nb_channel_closed_fn *closed = channel->closed;
    void *arg = channel->closed_arg;
    free_channel(channel);
    if (closed != NULL) {
        closed(arg);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    channel_handle_closed(handle->data);
}

static void on_call_timer_closed(uv_handle_t *handle)
{
    const struct channel_call *call = handle->data;
    channel_handle_closed(call->channel);
}

void channel_shut(struct nb_channel *channel)
{
    channel->shut = true;
    for (uint32_t i = 0; i < channel->n_calls; i++) {
        if (channel->calls[i].begun) {
            call_cancel(&channel->calls[i]);
        }
    }
    for (uint32_t i = 0; i < channel->n_conns; i++) {
        conn_shut(&channel->conns[i]);
    }
    for (uint32_t i = 0; i < channel->n_calls; i++) {
        if (channel->calls[i].has_timer) {
            uv_close((uv_handle_t *)&channel->calls[i].timer,
                     on_call_timer_closed);
        }
    }
    uv_close((uv_handle_t *)&channel->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&channel->wake, on_handle_closed);
    uv_close((uv_handle_t *)&channel->stir, on_handle_closed);
}

/* A thread that was about to wait may still be on its way out. */
static void wait_released(struct nb_channel *channel)
{
    uv_mutex_lock(&channel->lock);
    while (channel->tally.unanswered > 0) {
        uv_cond_wait(&channel->released, &channel->lock);
    }
    uv_mutex_unlock(&channel->lock);
}

void nb_channel_close(struct nb_channel *channel, nb_channel_closed_fn *closed,
                      void *arg)
{
    if (channel == NULL) {
        return;
    }
    uv_mutex_lock(&channel->lock);
    channel->closed = closed;
    channel->closed_arg = arg;
    channel->closing = true;
    bool has_thread = channel->has_thread;
    channel_wake(channel);
    uv_mutex_unlock(&channel->lock);
    if (!has_thread) {
        return; /* on_prepare() does the rest */
    }
    uv_thread_join(&channel->thread);
    wait_released(channel);
    free_channel(channel);
    if (closed != NULL) {
        closed(arg);
    }
}

/* ---- the loop --------------------------------------------------------- */

/* What is left here from now on is for the next turn. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct nb_channel *channel = prepare->data;
    uv_idle_stop(&channel->stir);
    channel_take_entered(channel);
    while (channel->unsent != NULL) {
        struct channel_conn *conn = channel->unsent;
        channel->unsent = conn->next_unsent;
        conn_flush(conn);
    }
}

static void on_wake(uv_async_t *wake)
{
    (void)wake; /* on_prepare() comes next */
}

static void on_stir(uv_idle_t *stir)
{
    (void)stir; /* on_prepare() comes next */
}

void channel_wake(struct nb_channel *channel)
{
    if (channel->has_thread) {
        uv_async_send(&channel->wake);
    } else {
        uv_idle_start(&channel->stir, on_stir);
    }
}

static void run_thread(void *arg)
{
    struct nb_channel *channel = arg;
    uv_run(channel->loop, UV_RUN_DEFAULT);
    int rv = uv_loop_close(channel->loop);
    assert(rv == 0);
    (void)rv;
}

/* ---- making ----------------------------------------------------------- */

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

static int check_options(const struct nb_channel_options *from,
                         struct nb_channel_options *to, struct nb_errctx *err)
{
    const struct nb_channel_options none = {0};
    *to = from != NULL ? *from : none;
    to->connections = or_default(to->connections, 1);
    to->max_calls = or_default(to->max_calls, 1024);
    to->max_attempts = or_default(to->max_attempts, 3);
    to->timeout_ms = or_default(to->timeout_ms, 30000);
    to->connect_timeout_ms = or_default(to->connect_timeout_ms, 5000);
    to->max_reply_bytes = or_default(to->max_reply_bytes, 256u << 20);
    to->hedge_percent = or_default(to->hedge_percent, 10);
    to->keepalive_ms = or_default(to->keepalive_ms, 10000);
    to->silence_ms = or_default(to->silence_ms, 10000);
    to->backoff_ms = or_default(to->backoff_ms, 50);
    to->backoff_max_ms = or_default(to->backoff_max_ms, 10000);
    if (to->connections > CONNECTIONS_MAX || to->max_calls > CALLS_MAX) {
        return nb_fail(err, NB_ERR_INVALID,
                       "options: %u connections and %u calls, at most %u and "
                       "%u",
                       to->connections, to->max_calls, CONNECTIONS_MAX,
                       CALLS_MAX);
    }
    if (to->hedge_percent > 100) {
        return nb_fail(err, NB_ERR_INVALID,
                       "options: hedges of %u %% of calls, at most 100 %%",
                       to->hedge_percent);
    }
    return 0;
}

static int check_addresses(const char *const *addresses, size_t n,
                           struct nb_errctx *err)
{
    char host[DIAL_HOST_BYTES];
    char port[DIAL_PORT_BYTES];
    struct sockaddr_un path;
    if (n == 0 || n > REPLICAS_MAX || addresses == NULL) {
        return nb_fail(err, NB_ERR_INVALID, "%zu addresses, not 1 to %u", n,
                       REPLICAS_MAX);
    }
    int rv = 0;
    for (size_t i = 0; i < n && rv == 0; i++) {
        if (addresses[i] == NULL) {
            return nb_fail(err, NB_ERR_INVALID, "address %zu is NULL", i);
        }
        rv = dial_is_unix(addresses[i])
                 ? dial_unix(addresses[i], &path, err)
                 : dial_split(addresses[i], host, port, err);
    }
    return rv;
}

static int reserve(struct nb_channel *made, const char *const *addresses,
                   size_t n_addresses, struct nb_errctx *err)
{
    uint32_t n_conns = (uint32_t)n_addresses * made->options.connections;
    made->replicas = calloc(n_addresses, sizeof(*made->replicas));
    made->conns = calloc(n_conns, sizeof(*made->conns));
    made->calls = calloc(made->options.max_calls, sizeof(*made->calls));
    if (made->replicas == NULL || made->conns == NULL || made->calls == NULL) {
        goto no_memory;
    }
    made->n_conns = n_conns;
    made->n_calls = made->options.max_calls;
    for (size_t i = 0; i < n_addresses; i++) {
        made->replicas[i].address = strdup(addresses[i]);
        if (made->replicas[i].address == NULL) {
            goto no_memory;
        }
        made->n_replicas++;
    }
    return 0;

no_memory:
    return nb_fail(err, NB_ERR_NOMEM, "no memory for a channel of %u calls",
                   made->options.max_calls);
}

static void link_parts(struct nb_channel *made)
{
    uint64_t seed = made->options.seed;
    made->hedge_credit = call_hedge_credit_max(&made->options);
    if (seed == 0) {
        seed = uv_hrtime() ^ (uint64_t)getpid() << 32 ^ (uintptr_t)made;
    }
    for (uint32_t i = 0; i < made->n_conns; i++) {
        struct channel_conn *conn = &made->conns[i];
        conn->channel = made;
        conn->replica = &made->replicas[i / made->options.connections];
        conn->backoff = (struct backoff){
            .first_ms = made->options.backoff_ms,
            .max_ms = made->options.backoff_max_ms,
            .random = seed + i,
        };
    }
    for (uint32_t i = made->options.max_calls; i > 0; i--) {
        struct channel_call *call = &made->calls[i - 1];
        call->channel = made;
        call->next = made->free;
        made->free = call;
    }
}

/* From here on the channel must be closed on its loop. */
static int open_handles(struct nb_channel *made)
{
    int rv = uv_async_init(made->loop, &made->wake, on_wake);
    if (rv != 0) {
        return rv;
    }
    uv_prepare_init(made->loop, &made->prepare);
    uv_prepare_start(&made->prepare, on_prepare);
    uv_idle_init(made->loop, &made->stir);
    made->wake.data = made->prepare.data = made->stir.data = made;
    made->n_open = 3;
    for (uint32_t i = 0; i < made->n_conns; i++) {
        conn_open(&made->conns[i]);
    }
    return 0;
}

static int make_lock(struct nb_channel *made, struct nb_errctx *err)
{
    int rv = uv_mutex_init(&made->lock);
    if (rv != 0) {
        return nb_fail(err, rv, "a channel: %s", nb_strerror(rv));
    }
    rv = uv_cond_init(&made->released);
    if (rv != 0) {
        uv_mutex_destroy(&made->lock);
        return nb_fail(err, rv, "a channel: %s", nb_strerror(rv));
    }
    return 0;
}

/* All but the handles. */
static int make(const char *const *addresses, size_t n_addresses,
                const struct nb_channel_options *options,
                struct nb_channel **channel, struct nb_errctx *err)
{
    struct nb_channel *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "no memory for a channel");
    }
    int rv = check_options(options, &made->options, err);
    if (rv == 0) {
        rv = check_addresses(addresses, n_addresses, err);
    }
    if (rv == 0) {
        rv = reserve(made, addresses, n_addresses, err);
    }
    if (rv == 0) {
        rv = make_lock(made, err);
    }
    if (rv != 0) {
        free_parts(made);
        free(made);
        return rv;
    }
    link_parts(made);
    *channel = made;
    return 0;
}

int nb_channel_open_loop(uv_loop_t *loop, const char *const *addresses,
                         size_t n_addresses,
                         const struct nb_channel_options *options,
                         struct nb_channel **channel, struct nb_errctx *err)
{
    struct nb_channel *made = NULL;
    int rv = make(addresses, n_addresses, options, &made, err);
    if (made == NULL) {
        return rv;
    }
    made->loop = loop;
    rv = open_handles(made);
    if (rv != 0) {
        free_channel(made);
        return nb_fail(err, rv, "a channel: %s", nb_strerror(rv));
    }
    *channel = made;
    return 0;
}

int nb_channel_open(const char *const *addresses, size_t n_addresses,
                    const struct nb_channel_options *options,
                    struct nb_channel **channel, struct nb_errctx *err)
{
    struct nb_channel *made = NULL;
    int rv = make(addresses, n_addresses, options, &made, err);
    if (made == NULL) {
        return rv;
    }
    made->has_thread = true;
    made->loop = &made->own_loop;
    rv = uv_loop_init(made->loop);
    if (rv != 0) {
        goto err_free;
    }
    rv = open_handles(made);
    if (rv != 0) {
        goto err_close_loop;
    }
    rv = uv_thread_create(&made->thread, run_thread, made);
    if (rv != 0) {
        goto err_close_handles;
    }
    *channel = made;
    return 0;

err_close_handles:
    channel_shut(made);
    uv_run(made->loop, UV_RUN_DEFAULT);
err_close_loop:
    uv_loop_close(made->loop);
err_free:
    free_channel(made);
    return nb_fail(err, rv, "a channel: %s", nb_strerror(rv));
}
