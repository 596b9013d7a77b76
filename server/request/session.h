/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * A connection without its socket: bytes that arrive, in whatever pieces, to
 * frames, to answers in the outgoing queue. Does no I/O and knows no clock but
 * what it is told.
 *
 * The owner reads into session_window(), calls session_received(), sends what
 * is in `out` and then calls session_resume(). While session_wants_input() is
 * false it does not read; once `ended` is set it sends what is left, and
 * closes.
 */
#ifndef NB_SERVER_SESSION_H
#define NB_SERVER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "server/request/outq.h"
#include "server/request/service.h"
#include "server/request/slow_request.h"

struct session {
    struct service *service;
    struct outq out;
    struct buf *in;      /* a frame not yet whole, or held back; may be NULL */
    uint64_t skip_bytes; /* of a refused body, still to come */
    struct frame_header skipped; /* of that body */
    uint64_t arrived_ns;         /* when the last bytes came */
    uint64_t began_ns; /* when the frame not yet whole began; 0: none */
    bool paused;       /* too much is unsent: frames are held back */
    bool waiting;      /* for the loop to have time for a large request */
    struct session *next_waiting;
    uint64_t queued_ns; /* since when the frame in front stood in line; or 0 */
    struct cold_read *cold; /* that the frame in front waits for, or NULL */
    unsigned n_cold;        /* times that it has waited */
    bool ended; /* framing is lost, or memory: nothing more is taken */
    struct nb_errctx why; /* of ended */
    uint64_t conn_id;     /* for the log */
    uint64_t sent_bytes;  /* of all replies */
    struct slow_request slow;
};

void session_init(struct session *session, struct service *service);
void session_fini(struct session *session);

/* Memory for the next bytes; the session's or the loop's, valid until anything
 * else is done with either. NB_ERR_NOMEM: *bytes is 0. */
int session_window(struct session *session, void **base, size_t *bytes);

/* `bytes` bytes came, at the start of the window. */
void session_received(struct session *session, size_t bytes, uint64_t now_ns);

/* The first `bytes` bytes of `out` were sent. */
void session_sent(struct session *session, size_t bytes);

/* Some of `out` was sent: answers what had been held back, if there is room
 * again. True if it queued something. */
bool session_resume(struct session *session);

/* Has the session wait no more with its large request: turns.h. With `answer`,
 * it answers that one request, whatever was answered in this turn, and those
 * behind it as usual. */
void session_stop_waiting(struct session *session, bool answer);

/* Does the next piece of its request, and at the end answers what stands
 * behind; without `answer`, it gives the request up. */
void session_continue(struct session *session, bool answer);

/* The pages that a frame waited for are there: answers it. */
void session_stop_reading(struct session *session, bool answer);

bool session_wants_input(const struct session *session);

/* Is a whole frame held back? */
bool session_holds_back(const struct session *session);

/* Bytes until the frame begun is whole, or its header; at least 1. */
size_t session_missing(const struct session *session);

/* Is there nothing to do: no frame begun, none held back, nothing unsent? */
bool session_is_idle(const struct session *session);

/* Ends the session, with an error to the peer, if a frame has taken too long
 * to come. */
void session_check_time(struct session *session, uint64_t now_ns);

/* Ends the session with an error that answers no request: id and method 0. */
void session_refuse(struct session *session, uint32_t code, const char *why);

#endif
