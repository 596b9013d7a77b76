/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * A connection of a channel, once it is made.
 *
 * Happy path: requests are put behind each other and flushed together; answers
 * are cut from what is read and handed to their calls. The timer looks for
 * silence: a Ping after keepalive_ms without a byte, the end of the connection
 * when it has owed an answer for silence_ms without one.
 *
 * Failure modes: everything that ends a connection goes through lose(), which
 * gives all its attempts back to their calls, closes, and so begins the next
 * pause. A write that fails does not: a server that closes says why first, so
 * reading finds the end.
 *
 * On close: conn_shut() closes what is open; a lookup under way is waited for.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/lib/channel.h"
#include "client/lib/dial.h"
#include "client/lib/remote_error.h"

/* Pieces of one write: as many as are worth a call. */
#define PIECES_MAX 256u
/* Reads of one event, so that one connection does not keep the loop. */
#define READS_MAX 8

/* ---- the end ---------------------------------------------------------- */

/* All that was under way on it comes to nothing. */
static void give_back_attempts(struct channel_conn *conn, int code,
                               const char *why)
{
    void *owner;
    conn->replica->n_unanswered -= conn->n_unanswered;
    conn->n_unanswered = 0;
    send_queue_fini(&conn->sends);
    while (inflight_take_any(&conn->inflight, &owner)) {
        struct channel_attempt *attempt = owner;
        if (attempt == NULL) {
            continue;
        }
        attempt->conn = NULL;
        attempt->item.queued = false;
        if (attempt->call != NULL) {
            call_attempt_lost(attempt, code, why);
        }
    }
    conn->pinging = false;
}

static void ping(struct channel_conn *conn)
{
    static const uint8_t header[FRAME_HEADER_BYTES]; /* the item has its own */
    static const struct iovec piece = {(void *)header, FRAME_HEADER_BYTES};
    static const struct request_frame frame = {
        .iov = (struct iovec *)&piece, .n_iov = 1, .bytes = FRAME_HEADER_BYTES};
    if (!conn->pinging && conn_has_room(conn)) {
        conn->pinging = true;
        conn_send(conn, &conn->ping, &frame, FRAME_METHOD_ping);
    }
}

/* A server that ends takes all its connections with it, one after another: a
 * call must not spend its attempts on them. Each is asked, and used again when
 * it has answered anything. */
static void suspect_siblings(const struct channel_conn *lost)
{
    struct nb_channel *channel = lost->channel;
    for (uint32_t i = 0; i < channel->n_conns; i++) {
        struct channel_conn *conn = &channel->conns[i];
        if (conn->replica == lost->replica && conn->state == CONN_READY) {
            ping(conn);
            conn->suspect = true;
        }
    }
}

/* The connection is of no use any more, as *of shows, whom it answered or NULL.
 */
static void lose_with(struct channel_conn *conn, int code, const char *why,
                      struct channel_attempt *of)
{
    struct nb_errctx text;
    nb_fail(&text, 0, "%.128s: %s", conn->replica->address, why);
    if (conn->state == CONN_READY) { /* else something else found it so */
        conn->channel->last_loss = text;
        tally_add(&conn->channel->tally.losses, 1);
        tally_add(&conn->channel->tally.connected, -1);
        conn_drop_found(conn);
        conn_close_socket(conn);
        suspect_siblings(conn);
        give_back_attempts(conn, code, text.text);
    }
    if (of != NULL && of->call != NULL) {
        call_attempt_lost(of, code, text.text);
    }
}

static void lose(struct channel_conn *conn, int code, const char *why)
{
    lose_with(conn, code, why, NULL);
}

/* ---- beginning -------------------------------------------------------- */

static void look_for_silence(struct channel_conn *conn)
{
    const struct nb_channel_options *options = &conn->channel->options;
    uint32_t limit = options->keepalive_ms < options->silence_ms
                         ? options->keepalive_ms
                         : options->silence_ms;
    uv_timer_start(&conn->timer, conn_on_timer, limit / 2 + 1, 0);
}

/* The outcome of connecting is there. */
static void connected(struct channel_conn *conn)
{
    int rv = dial_outcome(conn->fd);
    if (rv != 0) {
        conn_note_loss(conn, nb_strerror(rv));
        conn_close_socket(conn);
        return;
    }
    conn_drop_found(conn);
    conn->state = CONN_READY;
    conn->suspect = false;
    conn->heard_at = uv_now(conn->channel->loop);
    reply_buffer_init(&conn->replies, conn->channel->options.max_reply_bytes);
    tally_add(&conn->channel->tally.connects, 1);
    tally_add(&conn->channel->tally.connected, 1);
    rv = conn_poll_for(conn, UV_READABLE);
    if (rv != 0) {
        lose(conn, rv, nb_strerror(rv));
        return;
    }
    look_for_silence(conn);
    channel_send_waiting(conn->channel);
}

/* ---- sending ---------------------------------------------------------- */

static void mark_unsent(struct channel_conn *conn)
{
    if (!conn->flush) {
        conn->flush = true;
        conn->next_unsent = conn->channel->unsent;
        conn->channel->unsent = conn;
    }
}

bool conn_has_room(const struct channel_conn *conn)
{
    return conn->state == CONN_READY && !conn->suspect &&
           conn->send_error == 0 && !inflight_is_full(&conn->inflight);
}

void conn_send(struct channel_conn *conn, struct channel_attempt *attempt,
               const struct request_frame *frame, uint16_t method)
{
    (void)inflight_add(&conn->inflight, method, attempt, &attempt->id);
    attempt->conn = conn;
    send_queue_push(&conn->sends, &attempt->item, frame, method, attempt->id);
    if (conn->n_unanswered++ == 0) {
        conn->owed_since = uv_now(conn->channel->loop);
    }
    conn->replica->n_unanswered++;
    mark_unsent(conn);
}

static void answered(struct channel_conn *conn)
{
    conn->n_unanswered--;
    conn->replica->n_unanswered--;
}

void conn_abandon(struct channel_attempt *attempt)
{
    struct channel_conn *conn = attempt->conn;
    bool begun;
    attempt->conn = NULL;
    int rv = send_queue_withdraw(&conn->sends, &attempt->item, &begun);
    if (begun) {
        inflight_abandon(&conn->inflight, attempt->id);
    } else {
        inflight_cancel(&conn->inflight, attempt->id);
        answered(conn);
    }
    if (rv != 0) {
        lose(conn, rv, "a request was cut short: no memory to complete it");
    }
}

void conn_flush(struct channel_conn *conn)
{
    struct iovec iov[PIECES_MAX];
    size_t n = 0;
    conn->flush = false;
    while (conn->state == CONN_READY && conn->send_error == 0 &&
           (n = send_queue_gather(&conn->sends, iov, PIECES_MAX)) > 0) {
        const struct msghdr message = {.msg_iov = iov, .msg_iovlen = n};
        ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (sent >= 0) {
            send_queue_advance(&conn->sends, (size_t)sent);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            conn->send_error = -errno;
            n = 0;
        }
    }
    if (conn->state == CONN_READY) {
        int rv = conn_poll_for(conn,
                               n > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
        if (rv != 0) {
            lose(conn, rv, nb_strerror(rv));
        }
    }
}

/* ---- receiving -------------------------------------------------------- */

/* An error frame of id 0 is about the connection. */
static void lose_as_told(struct channel_conn *conn,
                         const struct frame_header *header, const uint8_t *body)
{
    struct remote_error error;
    struct nb_errctx text;
    if (remote_error_read(body, header->body_bytes, &error) != 0) {
        lose(conn, NB_ERR_MESSAGE, "malformed error reply");
        return;
    }
    nb_fail(&text, 0, "%s (%u): %s", remote_error_name(error.code), error.code,
            error.message);
    lose(conn, NB_ERR_CLOSED, text.text);
}

/* Whose is it? False if it is an answer to nothing; *attempt is NULL if nobody
 * waits for it any more. */
static bool match(struct channel_conn *conn, const struct frame_header *header,
                  struct channel_attempt **attempt)
{
    void *owner = NULL;
    if (header->kind == FRAME_REQUEST ||
        inflight_take(&conn->inflight, header->request_id, header->method,
                      &owner) != 0) {
        return false;
    }
    answered(conn);
    *attempt = owner;
    if (owner == NULL) {
        return true;
    }
    /* It may have been refused before all of it was sent. */
    bool begun;
    (*attempt)->conn = NULL;
    int rv = send_queue_withdraw(&conn->sends, &(*attempt)->item, &begun);
    return rv == 0 && begun;
}

/* False: the connection is lost. */
static bool take_frame(struct channel_conn *conn,
                       const struct frame_header *header, const uint8_t *body)
{
    struct channel_attempt *attempt = NULL;
    struct nb_errctx text;
    if (header->kind == FRAME_ERROR && header->request_id == 0) {
        lose_as_told(conn, header, body);
        return false;
    }
    if (!match(conn, header, &attempt)) {
        nb_fail(&text, 0,
                "reply of kind %u, method %u, to request %u: "
                "nothing of the sort was asked",
                header->kind, header->method, header->request_id);
        lose_with(conn, NB_ERR_FRAME, text.text, attempt);
        return false;
    }
    conn->suspect = false;
    if (!conn->heard) {
        conn->heard = true;
        backoff_reset(&conn->backoff);
    }
    if (attempt == NULL) {
        return true;
    }
    if (attempt->call == NULL) {
        conn->pinging = false;
        return true;
    }
    int rv = call_answered(attempt, conn->replica, header, body, &text);
    if (rv != 0) {
        lose_with(conn, rv, text.text, attempt);
    }
    return conn->state == CONN_READY;
}

/* False: the connection is lost. */
static bool take_frames(struct channel_conn *conn)
{
    struct frame_header header;
    const uint8_t *body;
    struct nb_errctx text;
    int rv;
    while ((rv = reply_buffer_next(&conn->replies, &header, &body, &text)) >
           0) {
        if (!take_frame(conn, &header, body)) {
            return false;
        }
    }
    if (rv < 0) {
        lose(conn, rv, text.text);
    }
    return rv == 0;
}

static void lose_reading(struct channel_conn *conn, ssize_t n)
{
    int code = n < 0                   ? -errno
               : conn->send_error != 0 ? conn->send_error
                                       : NB_ERR_CLOSED;
    lose(conn, code, nb_strerror(code));
}

/* `last`: no other event will come, and all is read that there is. */
static void read_replies(struct channel_conn *conn, bool last)
{
    for (int i = 0; i < READS_MAX || last; i++) {
        void *at;
        size_t room;
        if (reply_buffer_room(&conn->replies, &at, &room) != 0) {
            lose(conn, NB_ERR_NOMEM, "no memory for a reply");
            return;
        }
        ssize_t n = recv(conn->fd, at, room, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN && !last) {
            return;
        }
        if (n <= 0) {
            lose_reading(conn, n);
            return;
        }
        conn->heard_at = uv_now(conn->channel->loop);
        reply_buffer_filled(&conn->replies, (size_t)n);
        if (!take_frames(conn) || ((size_t)n < room && !last)) {
            return;
        }
    }
}

void conn_on_poll(uv_poll_t *poll, int status, int events)
{
    struct channel_conn *conn = poll->data;
    struct nb_channel *channel = conn->channel;
    if (conn->state == CONN_CONNECTING) {
        connected(conn);
        return;
    }
    if (status < 0) {
        conn->events = 0; /* libuv has stopped it */
    }
    if ((events & UV_WRITABLE) != 0) {
        mark_unsent(conn);
    }
    if ((events & UV_READABLE) != 0 || status < 0) {
        read_replies(conn, status < 0);
        channel_send_waiting(channel);
    }
}

/* ---- time ------------------------------------------------------------- */

static void check_silence(struct channel_conn *conn)
{
    const struct nb_channel_options *options = &conn->channel->options;
    uint64_t now = uv_now(conn->channel->loop);
    uint64_t since = conn->heard_at;
    if (conn->send_error != 0 && conn->n_unanswered == 0) {
        /* Nothing can be asked, and nothing is to come that would tell more. */
        lose(conn, conn->send_error, nb_strerror(conn->send_error));
        return;
    }
    if (conn->n_unanswered > 0) {
        since = conn->owed_since > since ? conn->owed_since : since;
        if (now - since >= options->silence_ms) {
            lose(conn, NB_ERR_TIMEOUT, "silent, though it owes an answer");
            return;
        }
    } else if (now - since >= options->keepalive_ms) {
        ping(conn);
    }
    look_for_silence(conn);
}

void conn_on_timer(uv_timer_t *timer)
{
    struct channel_conn *conn = timer->data;
    if (conn->state == CONN_IDLE) {
        conn_dial(conn);
    } else if (conn->state == CONN_CONNECTING) {
        conn_note_loss(conn, "cannot connect: deadline exceeded");
        conn_close_socket(conn);
    } else if (conn->state == CONN_READY) {
        check_silence(conn);
    }
}

/* ---- life ------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct channel_conn *conn = handle->data;
    channel_handle_closed(conn->channel); /* may free conn */
}

void conn_open(struct channel_conn *conn)
{
    conn->fd = -1;
    conn->lookup.data = conn;
    uv_timer_init(conn->channel->loop, &conn->timer);
    conn->timer.data = conn;
    conn->channel->n_open++;
    uv_timer_start(&conn->timer, conn_on_timer, 0, 0);
}

void conn_shut(struct channel_conn *conn)
{
    if (conn->state == CONN_READY) {
        tally_add(&conn->channel->tally.connected, -1);
    }
    if (conn->state == CONN_CONNECTING || conn->state == CONN_READY) {
        conn_close_socket(conn);
    } else if (conn->state == CONN_RESOLVING) {
        uv_cancel((uv_req_t *)&conn->lookup);
    }
    uv_close((uv_handle_t *)&conn->timer, on_timer_closed);
}

void conn_fini(struct channel_conn *conn)
{
    conn_drop_found(conn);
    send_queue_fini(&conn->sends);
    reply_buffer_fini(&conn->replies);
}
