/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Happy path: loop_init on the main thread, loop_start, then the thread runs
 * until loop_drain(): listeners close, each connection ends once its peer
 * pauses, and with the last of them the remaining handles close and uv_run
 * returns.
 *
 * Failure modes: connections still open at the drain's deadline, or at
 * loop_stop(), are closed as they are. A connection for which there is no
 * memory or no descriptor stays in the listener's queue, which is not looked at
 * before the next tick: a listener left in the poll would be reported readable
 * without end. That is why libuv's own accepting is not used: out of
 * descriptors, it closes a spare one to accept and drop connections with, and
 * does not return while other threads take that descriptor from it.
 *
 * On close: uv_loop_close() must find nothing open.
 */
#include "server/net/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/net/processor.h"
#include "server/request/cold_read.h"
#include "server/request/turns.h"

/* Connections taken at a time, before those that are open get their turn. */
#define ACCEPT_BATCH 64

#define TICK_MIN_MS UINT64_C(5)
#define TICK_MAX_MS UINT64_C(250)

/* ---- connections ----------------------------------------------------- */

static void maybe_finish(struct loop *loop);

static void log_close(struct loop *loop, const struct conn *conn)
{
    uint32_t suppressed;
    struct log_text reason;
    if (conn->reason != NULL &&
        log_allowed(&loop->close_log, uv_hrtime(), &suppressed)) {
        log_info("close", "conn=%llu reason=%s suppressed=%u",
                 (unsigned long long)conn->id, log_quote(conn->reason, &reason),
                 suppressed);
    }
}

static void on_conn_closed(struct conn *conn)
{
    struct loop *loop = conn->owner;
    log_close(loop, conn);
    if (conn->prev != NULL) {
        conn->prev->next = conn->next;
    } else {
        loop->conns = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    }
    free(conn);
    atomic_fetch_sub_explicit(&loop->common->n_conns, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&loop->n_own, 1, memory_order_relaxed);
    counter_add(&loop->service.counters->connections, UINT64_MAX); /* -1 */
    maybe_finish(loop);
}

static void add_conn(struct loop *loop, struct conn *conn)
{
    conn->owner = loop;
    conn->closed = on_conn_closed;
    conn->id = 1 + atomic_fetch_add_explicit(&loop->common->next_conn_id, 1,
                                             memory_order_relaxed);
    conn->session.conn_id = conn->id;
    conn->next = loop->conns;
    if (loop->conns != NULL) {
        loop->conns->prev = conn;
    }
    loop->conns = conn;
    counter_add(&loop->service.counters->connections, 1);
    counter_add(&loop->service.counters->connections_accepted, 1);
}

/* Begins, or turns away, a connection that has been accepted. */
static void begin_conn(struct loop *loop, struct conn *conn, uint64_t before)
{
    const struct loop_common *common = loop->common;
    add_conn(loop, conn);
    if (before < common->max_conns) {
        if (conn_start(conn) != 0) {
            conn_close(conn, "cannot be read from");
        }
        return;
    }
    counter_add(&loop->service.counters->connections_refused, 1);
    if (before - common->max_conns < common->max_refusals) {
        conn_refuse(conn, "server: too many connections");
    } else {
        conn_close(conn, "server: too many connections");
    }
}

/* ---- listeners ------------------------------------------------------- */

static void on_tick(uv_timer_t *timer);

/* A quarter of the shortest timeout is late by a quarter at most. */
static uint64_t tick_ms(const struct options *options)
{
    const uint64_t timeouts[] = {
        options->idle_timeout_ms, options->header_timeout_ms,
        options->request_timeout_ms, options->write_timeout_ms,
        options->max_connection_age_ms};
    uint64_t shortest = 4 * TICK_MAX_MS;
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
        if (timeouts[i] != 0 && timeouts[i] < shortest) {
            shortest = timeouts[i];
        }
    }
    return shortest / 4 > TICK_MIN_MS ? shortest / 4 : TICK_MIN_MS;
}

static void start_tick(struct loop *loop)
{
    if (!uv_is_active((uv_handle_t *)&loop->tick)) {
        uint64_t ms = tick_ms(loop->service.options);
        uv_timer_start(&loop->tick, on_tick, ms, ms);
    }
}

static void log_accept(struct loop *loop, int rv)
{
    uint32_t suppressed;
    if (log_allowed(&loop->close_log, uv_hrtime(), &suppressed)) {
        log_error("accept", "why=\"%s\" suppressed=%u", nb_strerror(rv),
                  suppressed);
    }
}

/* Serves a connection in the memory of `conn`; takes both. */
static int open_conn(struct loop *loop, struct conn *conn,
                     const struct accepted *accepted)
{
    int rv = conn_init(conn, &loop->uv, accepted->is_unix, &loop->service);
    if (rv != 0) {
        free(conn);
        handover_drop(loop, accepted);
        return rv;
    }
    start_tick(loop);
    rv = accepted->is_unix ? uv_pipe_open(&conn->io.pipe, accepted->fd)
                           : uv_tcp_open(&conn->io.tcp, accepted->fd);
    if (rv != 0) {
        close(accepted->fd);
    }
    begin_conn(
        loop, conn,
        accepted->n_before); /* without a descriptor it cannot be read from */
    return 0;
}

/* Takes one connection from the queue; -errno: -EAGAIN if there is none. The
 * kernel spreads connections over the listeners by a hash, so that of a few
 * most may come to one loop: it gives what others have fewer of. */
static int accept_conn(struct listener *listener)
{
    struct loop *loop = listener->loop;
    struct conn *conn = malloc(sizeof(*conn));
    if (conn == NULL) {
        return -ENOMEM;
    }
    struct accepted accepted = {
        accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC),
        listener->is_unix, 0};
    if (accepted.fd < 0) {
        int rv = -errno;
        free(conn);
        return rv;
    }
    accepted.n_before = atomic_fetch_add_explicit(&loop->common->n_conns, 1,
                                                  memory_order_relaxed);
    if (!loop->draining && handover_give(loop, &accepted)) {
        free(conn);
        return 0;
    }
    atomic_fetch_add_explicit(&loop->n_own, 1, memory_order_relaxed);
    return open_conn(loop, conn, &accepted);
}

/* Is it the one connection that failed, rather than the server? */
static bool is_of_peer(int rv)
{
    return rv == -ECONNABORTED || rv == -EINTR || rv == -EPROTO || rv == -EPERM;
}

static int accept_batch(struct listener *listener, int n)
{
    for (int i = 0; i < n; i++) {
        int rv = accept_conn(listener);
        if (rv == -EAGAIN) {
            return 0;
        }
        if (rv != 0 && !is_of_peer(rv)) {
            return rv;
        }
    }
    return 0;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    (void)events;
    int rv = status != 0 ? status : accept_batch(listener, ACCEPT_BATCH);
    if (rv != 0) {
        log_accept(listener->loop, rv);
        uv_poll_stop(poll);
        listener->resting = true;
        start_tick(listener->loop);
    }
}

static int listen_again(struct listener *listener)
{
    int rv = uv_poll_start(&listener->poll, UV_READABLE, on_connection);
    listener->resting = rv != 0;
    return rv;
}

static void on_tick(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    uint64_t now_ns = uv_hrtime();
    struct conn *next;
    for (struct conn *conn = loop->conns; conn != NULL; conn = next) {
        next = conn->next; /* closing is never at once, but keeps the list */
        conn_check_time(conn, now_ns);
    }
    struct session *late;
    while ((late = turns_overdue(&loop->service)) != NULL) {
        conn_stop_waiting(late);
    }
    bool resting = false;
    for (size_t i = 0; !loop->draining && i < loop->n_listeners; i++) {
        if (loop->listeners[i].resting) {
            resting |= listen_again(&loop->listeners[i]) != 0;
        }
    }
    if (loop->conns == NULL && !resting) {
        uv_timer_stop(timer);
    }
}

/* ---- the end --------------------------------------------------------- */

static void close_listener(struct listener *listener)
{
    if (!uv_is_closing((uv_handle_t *)&listener->poll)) {
        uv_close((uv_handle_t *)&listener->poll, NULL);
        close(listener->fd);
    }
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

/* The one quiescence test: draining, and no connection left. */
static void maybe_finish(struct loop *loop)
{
    if (!loop->draining || loop->conns != NULL) {
        return;
    }
    uv_mutex_lock(&loop->lock);
    loop->alive = false;
    uv_cond_broadcast(&loop->switched);
    uv_mutex_unlock(&loop->lock);
    close_handle((uv_handle_t *)&loop->wake);
    close_handle((uv_handle_t *)&loop->tick);
    close_handle((uv_handle_t *)&loop->deadline);
    close_handle((uv_handle_t *)&loop->waiting);
    close_handle((uv_handle_t *)&loop->busy);
}

static void close_conns(struct loop *loop, const char *reason)
{
    struct conn *next;
    for (struct conn *conn = loop->conns; conn != NULL; conn = next) {
        next = conn->next;
        conn_close(conn, reason);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    close_conns(timer->data, "drain timeout");
}

static void drain(struct loop *loop)
{
    loop->draining = true;
    for (size_t i = 0; i < loop->n_listeners; i++) {
        /* Those in the queue may have sent requests. */
        accept_batch(&loop->listeners[i], SOMAXCONN);
        close_listener(&loop->listeners[i]);
    }
    uv_timer_start(&loop->deadline, on_deadline,
                   loop->service.options->drain_timeout_ms, 0);
    uv_timer_start(&loop->tick, on_tick, CONN_DRAIN_TICK_MS,
                   CONN_DRAIN_TICK_MS);
    struct conn *next;
    for (struct conn *conn = loop->conns; conn != NULL; conn = next) {
        next = conn->next;
        conn_drain(conn);
    }
    maybe_finish(loop);
}

/* Between events: no request is being answered. */
static void take_next(struct loop *loop)
{
    uv_mutex_lock(&loop->lock);
    if (loop->next != NULL) {
        service_switch(&loop->service, loop->next);
        loop->next = NULL;
        uv_cond_broadcast(&loop->switched);
    }
    uv_mutex_unlock(&loop->lock);
}

void loop_switch(struct loop *loop, struct catalog *catalog)
{
    uv_mutex_lock(&loop->lock);
    if (loop->alive) {
        catalog_unref(loop->next);
        loop->next = catalog_ref(catalog);
        uv_async_send(&loop->wake);
    }
    uv_mutex_unlock(&loop->lock);
}

void loop_await_switch(struct loop *loop)
{
    uv_mutex_lock(&loop->lock);
    while (loop->alive && loop->next != NULL) {
        uv_cond_wait(&loop->switched, &loop->lock);
    }
    uv_mutex_unlock(&loop->lock);
}

/* Without memory the connection is dropped; its peer may come again. */
static void take_given(struct loop *loop)
{
    struct accepted accepted;
    bool more = true;
    while (more) {
        uv_mutex_lock(&loop->lock);
        more = handover_take(&loop->given, &accepted);
        uv_mutex_unlock(&loop->lock);
        struct conn *conn = more ? malloc(sizeof(*conn)) : NULL;
        if (conn != NULL) {
            open_conn(loop, conn, &accepted);
        } else if (more) {
            log_accept(loop, -ENOMEM);
            handover_drop(loop, &accepted);
        }
    }
}

static void on_wake(uv_async_t *async)
{
    struct loop *loop = async->data;
    take_next(loop);
    take_given(loop);
    int order = atomic_load(&loop->order);
    if (order != LOOP_RUN && !loop->draining) {
        drain(loop);
    }
    if (order == LOOP_STOP) {
        close_conns(loop, "stopped");
    }
}

static void give_order(struct loop *loop, int order)
{
    uv_mutex_lock(&loop->lock);
    if (loop->alive && atomic_load(&loop->order) < order) {
        atomic_store(&loop->order, order);
        uv_async_send(&loop->wake);
    }
    uv_mutex_unlock(&loop->lock);
}

void loop_drain(struct loop *loop)
{
    give_order(loop, LOOP_DRAIN);
}

void loop_stop(struct loop *loop)
{
    give_order(loop, LOOP_STOP);
}

/* ---- the thread ------------------------------------------------------ */

static void run(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int rv = uv_loop_close(&loop->uv);
    assert(rv == 0); /* every handle was closed */
    (void)rv;
}

static void thread_main(void *arg)
{
    struct loop *loop = arg;
    int rv = loop->service.options->pin_loops != 0
                 ? processor_pin(loop->service.loop)
                 : 0;
    if (rv < 0) {
        log_error("pin", "loop=%u why=\"%s\"", loop->service.loop,
                  nb_strerror(rv));
    }
    run(loop);
    loop->common->stopped(loop->common->stopped_arg);
}

int loop_start(struct loop *loop)
{
    return uv_thread_create(&loop->thread, thread_main, loop);
}

static void free_loop(struct loop *loop)
{
    struct accepted accepted;
    while (handover_take(&loop->given, &accepted)) {
        close(accepted.fd);
    }
    catalog_unref(loop->next);
    service_fini(&loop->service);
    uv_cond_destroy(&loop->switched);
    uv_mutex_destroy(&loop->lock);
    free(loop->listeners);
}

void loop_abandon(struct loop *loop)
{
    drain(loop);
    run(loop);
    free_loop(loop);
}

void loop_join(struct loop *loop)
{
    uv_thread_join(&loop->thread);
    free_loop(loop);
}

/* ---- initialising ---------------------------------------------------- */

static int open_listener(struct listener *listener, struct loop *loop, int fd,
                         bool is_unix)
{
    *listener = (struct listener){.loop = loop, .fd = fd, .is_unix = is_unix};
    int rv = uv_poll_init(&loop->uv, &listener->poll, fd);
    if (rv != 0) {
        close(fd);
        return rv;
    }
    listener->poll.data = listener;
    loop->n_listeners++;
    return listen_again(listener);
}

static int open_listeners(struct loop *loop, const int *fds,
                          const bool *is_unix, size_t n)
{
    int rv = 0;
    for (size_t i = 0; i < n; i++) {
        if (rv == 0) {
            rv = open_listener(&loop->listeners[i], loop, fds[i], is_unix[i]);
        } else {
            close(fds[i]);
        }
    }
    return rv;
}

/* There to be active: then the loop does not wait. */
static void on_busy(uv_idle_t *handle)
{
    (void)handle;
}

static void on_waiting(uv_prepare_t *handle)
{
    struct loop *loop = handle->data;
    struct service *service = &loop->service;
    service_end_turn(service);
    struct session *session = turns_next_piece(service);
    if (session != NULL) {
        service_turn_ns(service);
        conn_continue(session);
    } else if ((session = turns_next_waiting(service)) != NULL) {
        service_turn_ns(service);
        conn_stop_waiting(session);
    }
    if (turns_next_piece(service) != NULL ||
        turns_next_waiting(service) != NULL) {
        uv_idle_start(&loop->busy, on_busy);
    } else {
        uv_idle_stop(&loop->busy);
        service_end_turn(service); /* of a piece: the loop waits now */
    }
}

static int open_handles(struct loop *loop)
{
    int rv = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (rv != 0) {
        return rv;
    }
    /* These cannot fail. */
    uv_prepare_init(&loop->uv, &loop->waiting);
    uv_idle_init(&loop->uv, &loop->busy);
    loop->service.takes_turns = true;
    loop->service.uv = &loop->uv;
    loop->service.warm = conn_stop_reading;
    loop->service.probe_until_ns = uv_hrtime() + COLD_PROBE_NS;
    uv_timer_init(&loop->uv, &loop->tick);
    uv_timer_init(&loop->uv, &loop->deadline);
    loop->wake.data = loop;
    loop->tick.data = loop;
    loop->deadline.data = loop;
    loop->waiting.data = loop;
    uv_prepare_start(&loop->waiting, on_waiting);
    loop->alive = true;
    return 0;
}

int loop_init(struct loop *loop, struct loop_common *common, unsigned index,
              struct catalog *catalog, const int *fds, const bool *is_unix,
              size_t n)
{
    *loop = (struct loop){.common = common};
    loop->listeners = calloc(n, sizeof(*loop->listeners));
    int rv = loop->listeners != NULL ? 0 : NB_ERR_NOMEM;
    if (rv == 0) {
        rv = uv_mutex_init(&loop->lock);
    }
    if (rv != 0) {
        goto err_free;
    }
    rv = uv_cond_init(&loop->switched);
    if (rv != 0) {
        goto err_mutex;
    }
    rv = service_init(&loop->service, common->service, index, catalog,
                      uv_hrtime);
    if (rv != 0) {
        goto err_cond;
    }
    rv = uv_loop_init(&loop->uv);
    if (rv != 0) {
        goto err_service;
    }
    rv = open_handles(loop);
    if (rv != 0) {
        goto err_loop;
    }
    rv = open_listeners(loop, fds, is_unix, n);
    if (rv != 0) {
        loop_abandon(loop);
    }
    return rv;

err_loop:
    uv_loop_close(&loop->uv);
err_service:
    service_fini(&loop->service);
err_cond:
    uv_cond_destroy(&loop->switched);
err_mutex:
    uv_mutex_destroy(&loop->lock);
err_free:
    free(loop->listeners);
    for (size_t i = 0; i < n; i++) {
        close(fds[i]);
    }
    return rv;
}
