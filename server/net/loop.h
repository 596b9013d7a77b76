/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* An event loop in a thread of its own, with its listeners and connections. */
#ifndef NB_SERVER_LOOP_H
#define NB_SERVER_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "server/log/log.h"
#include "server/net/conn.h"
#include "server/net/handover.h"
#include "server/request/service.h"

struct loop;

enum loop_order {
    LOOP_RUN,
    LOOP_DRAIN,
    LOOP_STOP
};

/* Called from the thread of the loop, the last thing it does. */
typedef void loop_stopped_cb(void *arg);

struct listener {
    uv_poll_t poll;
    struct loop *loop;
    int fd;
    bool is_unix;
    bool resting; /* not polled: there is no room for a connection */
};

/* Shared by all loops. */
struct loop_common {
    const struct service_common *service;
    uint64_t max_conns;       /* for which there are descriptors, too */
    uint64_t max_refusals;    /* connections beyond, that are told so */
    _Atomic uint64_t n_conns; /* open now, over all loops */
    struct loop *loops;       /* the first n_loops run */
    _Atomic unsigned n_loops;
    _Atomic uint64_t next_conn_id;
    loop_stopped_cb *stopped;
    void *stopped_arg;
};

struct loop {
    uv_loop_t uv;
    uv_async_t wake; /* the only way in from other threads */
    uv_timer_t tick; /* looks at timeouts; runs while there are connections */
    uv_timer_t deadline;  /* of the drain */
    uv_prepare_t waiting; /* a turn is over */
    uv_idle_t busy;       /* large requests wait: sockets are only looked at */
    uv_thread_t thread;
    uv_mutex_t lock; /* guards `next`, `given`, `alive`; so the use of wake */
    uv_cond_t switched;     /* `next` was taken, or the loop is not alive */
    struct catalog *next;   /* a reference; under `lock` */
    struct handover given;  /* connections from other loops; under `lock` */
    _Atomic uint64_t n_own; /* connections open, or given */
    bool alive;
    _Atomic int order; /* what wake tells: enum loop_order */
    struct loop_common *common;
    struct service service;
    struct listener *listeners;
    size_t n_listeners;
    struct conn *conns; /* a list */
    struct log_limit close_log;
    bool draining;
};

/* Descriptors that a loop opens beside those it is given. */
#define LOOP_DESCRIPTORS 4

/* Takes the listening descriptors fds[0..n), on error too. is_unix[i] tells
 * what fds[i] is. -errno, NB_ERR_NOMEM: nothing is held. After success the
 * loop must be started or abandoned; it must not move. */
int loop_init(struct loop *loop, struct loop_common *common, unsigned index,
              struct catalog *catalog, const int *fds, const bool *is_unix,
              size_t n);

/* Starts the thread. -errno; then loop_abandon() ends the loop. */
int loop_start(struct loop *loop);
void loop_abandon(struct loop *loop);

/* Any thread, while the loop is not joined: stop accepting, answer what has
 * arrived, end. loop_stop() does not wait for that. */
void loop_drain(struct loop *loop);
void loop_stop(struct loop *loop);

/* Any thread, likewise: has the loop answer from `catalog`, of which it takes a
 * reference, from its next request on. */
void loop_switch(struct loop *loop, struct catalog *catalog);

/* Waits until it does, or serves nobody any more. */
void loop_await_switch(struct loop *loop);

/* Waits for the thread and frees what the loop held. */
void loop_join(struct loop *loop);

#endif
