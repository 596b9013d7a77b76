/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A connection: a session and its socket, on one loop. */
#ifndef NB_SERVER_CONN_H
#define NB_SERVER_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "server/request/session.h"

struct conn;

/* Called when the last handle is closed; frees nothing. The callee unlinks the
 * connection and frees it. */
typedef void conn_closed_cb(struct conn *conn);

enum conn_state {
    CONN_OPEN,
    CONN_LINGER, /* all is sent, the sending side shut: waits for the peer */
    CONN_CLOSING
};

enum conn_drain {
    CONN_DRAIN_NO,
    CONN_DRAIN_QUIET, /* ends when the peer pauses */
    CONN_DRAIN_CUT    /* ends behind what has arrived */
};

struct conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct session session;
    struct conn *prev; /* in the list of the owner */
    struct conn *next;
    void *owner;
    conn_closed_cb *closed;
    uint64_t id;
    enum conn_state state;
    unsigned n_open; /* handles and requests outstanding */
    bool reading;    /* uv_read_start is in effect */
    bool writing;    /* `write` is outstanding */
    bool peer_done;  /* the peer shut its sending side */
    enum conn_drain drain;
    size_t write_bytes;   /* of the outstanding write */
    size_t stalled_bytes; /* not taken when last looked at */
    size_t drain_bytes;   /* CONN_DRAIN_CUT: still to be read */
    uint64_t drain_ns;    /* when draining began */
    uint64_t active_ns;   /* last bytes in or out */
    uint64_t progress_ns; /* when the peer last took some of it */
    uint64_t linger_ns;   /* when lingering began */
    uint64_t opened_ns;
    const char *reason; /* why it was closed, for the log */
};

/*
 * Happy path: conn_init, accept into io.stream, conn_start. On error of
 * conn_init nothing is registered. After it every path ends in conn_close,
 * called by the owner or by the connection itself, and then in `closed`, once.
 */
int conn_init(struct conn *conn, uv_loop_t *loop, bool is_unix,
              struct service *service);

/* Begins to read. On error the owner closes. -errno. */
int conn_start(struct conn *conn);

/* Drops what is unsent and closes; idempotent. `reason` is static text, or
 * NULL for an ending that is no event. */
void conn_close(struct conn *conn, const char *reason);

/* Answers the large request that its session waits with. May close. */
void conn_stop_waiting(struct session *session);

/* Does the next piece of its session's request. May close. */
void conn_continue(struct session *session);

/* Answers the request that its session waited for pages with. May close. */
void conn_stop_reading(struct session *session);

/* Answers a peer that there is no room for it, and ends. May close. */
void conn_refuse(struct conn *conn, const char *why);

/* Goes on until the peer pauses, or for a second, then answers what has arrived
 * by then and ends. Wants conn_check_time() every CONN_DRAIN_TICK_MS. May
 * close. */
void conn_drain(struct conn *conn);

#define CONN_DRAIN_TICK_MS 20

/* Holds the connection to its timeouts; called now and then. May close. */
void conn_check_time(struct conn *conn, uint64_t now_ns);

#endif
