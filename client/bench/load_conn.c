/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/load_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/lib/dial.h"
#include "client/lib/remote_error.h"

/* An id is a generation and, in its low bits, the slot: LOAD_DEPTH_MAX. */
#define SLOT_BITS 10u
_Static_assert(LOAD_DEPTH_MAX == 1u << SLOT_BITS, "ids name every slot");

/* Two pieces a request: as many as are worth one call. */
#define PIECES_MAX      256u
#define STAGE_BYTES     (32u << 10)
#define MAX_REPLY_BYTES (1u << 30)

uint64_t load_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void reset_slots(struct load_conn *conn)
{
    for (uint32_t i = 0; i < conn->depth; i++) {
        conn->slots[i] = (struct load_slot){.state = SLOT_FREE};
        conn->free[i] = (uint16_t)(conn->depth - 1 - i);
    }
    conn->n_free = conn->depth;
    conn->unsent_first = conn->n_unsent = 0;
    conn->head_sent = 0;
    conn->wants_output = false;
}

int load_conn_open(struct load_conn *conn, const char *address,
                   uint32_t timeout_ms, const struct request_set *set,
                   uint32_t depth, struct nb_errctx *err)
{
    *conn = (struct load_conn){.fd = -1, .set = set, .depth = depth};
    reply_buffer_init(&conn->replies, MAX_REPLY_BYTES);
    conn->slots = calloc(depth, sizeof(*conn->slots));
    conn->free = calloc(depth, sizeof(*conn->free));
    conn->unsent = calloc(depth, sizeof(*conn->unsent));
    int rv = 0;
    if (conn->slots == NULL || conn->free == NULL || conn->unsent == NULL) {
        rv = nb_fail(err, NB_ERR_NOMEM, "a connection of depth %u", depth);
        goto err_close;
    }
    reset_slots(conn);
    rv = dial_connect(address, timeout_ms, &conn->fd, err);
    if (rv != 0) {
        goto err_close;
    }
    conn->peer_bytes = sizeof(conn->peer);
    if (getpeername(conn->fd, (struct sockaddr *)&conn->peer,
                    &conn->peer_bytes) != 0) {
        rv = nb_fail(err, -errno, "%.128s: %s", address, nb_strerror(-errno));
        goto err_close;
    }
    conn->state = CONN_UP;
    return 0;

err_close:
    load_conn_close(conn);
    return rv;
}

void load_conn_close(struct load_conn *conn)
{
    if (conn->fd >= 0) {
        close(conn->fd);
    }
    free(conn->slots);
    free(conn->free);
    free(conn->unsent);
    reply_buffer_fini(&conn->replies);
    *conn = (struct load_conn){.fd = -1};
}

static void free_slot(struct load_conn *conn, struct load_slot *slot)
{
    slot->state = SLOT_FREE;
    conn->free[conn->n_free++] = (uint16_t)(slot - conn->slots);
}

/* Frees the slot of a request that was sent, and is waited for no more. */
static void expect_late(struct load_conn *conn, struct load_slot *slot)
{
    struct load_late *late = &slot->late;
    late->first = late->n++ == 0 ? slot->id : late->first;
    late->last = slot->id;
    free_slot(conn, slot);
}

/* ---- sending ---------------------------------------------------------- */

struct load_slot *load_conn_queue(struct load_conn *conn, uint16_t method,
                                  size_t request, uint64_t due, uint64_t now)
{
    if (conn->n_free == conn->depth) {
        conn->quiet_since = now;
    }
    uint16_t at = conn->free[--conn->n_free];
    struct load_slot *slot = &conn->slots[at];
    conn->generation = (conn->generation + 1) & (UINT32_MAX >> SLOT_BITS);
    conn->generation += conn->generation == 0; /* 0 is no request's id */
    *slot = (struct load_slot){.id = conn->generation << SLOT_BITS | at,
                               .state = SLOT_WAITING,
                               .request = request,
                               .due = due,
                               .late = slot->late};
    const struct frame_header header = {
        .kind = FRAME_REQUEST,
        .method = method,
        .request_id = slot->id,
        .body_bytes = (uint32_t)conn->set->bodies[request].bytes,
    };
    frame_header_put(slot->header, &header);
    uint32_t end = conn->unsent_first + conn->n_unsent++;
    conn->unsent[end < conn->depth ? end : end - conn->depth] = at;
    return slot;
}

static struct load_slot *unsent_at(struct load_conn *conn, uint32_t i)
{
    uint32_t at = conn->unsent_first + i;
    return &conn->slots[conn->unsent[at < conn->depth ? at : at - conn->depth]];
}

static size_t frame_bytes(const struct load_conn *conn,
                          const struct load_slot *slot)
{
    return FRAME_HEADER_BYTES + conn->set->bodies[slot->request].bytes;
}

/* What one call sends: pieces, and room to put small requests together, which
 * costs less than a piece for each header and each body. */
struct outgoing {
    struct iovec pieces[PIECES_MAX];
    size_t n;
    size_t staged;
    uint8_t stage[STAGE_BYTES];
};

static void add_piece(struct outgoing *out, const void *data, size_t bytes)
{
    struct iovec *last = out->n > 0 ? &out->pieces[out->n - 1] : NULL;
    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == data) {
        last->iov_len += bytes;
    } else {
        out->pieces[out->n++] = (struct iovec){(void *)data, bytes};
    }
}

static bool stage(struct outgoing *out, const struct load_slot *slot,
                  const struct request_body *body)
{
    if (body->bytes > STAGE_BYTES / 64 ||
        STAGE_BYTES - out->staged < FRAME_HEADER_BYTES + body->bytes) {
        return false;
    }
    uint8_t *to = out->stage + out->staged;
    memcpy(to, slot->header, FRAME_HEADER_BYTES);
    memcpy(to + FRAME_HEADER_BYTES, body->data, body->bytes);
    out->staged += FRAME_HEADER_BYTES + body->bytes;
    add_piece(out, to, FRAME_HEADER_BYTES + body->bytes);
    return true;
}

/* Leaves out the first `skip` bytes. */
static void skip_pieces(struct outgoing *out, size_t skip)
{
    for (size_t i = 0; i < out->n && skip > 0; i++) {
        struct iovec *piece = &out->pieces[i];
        size_t part = skip < piece->iov_len ? skip : piece->iov_len;
        piece->iov_base = (uint8_t *)piece->iov_base + part;
        piece->iov_len -= part;
        skip -= part;
    }
}

static void gather(struct load_conn *conn, struct outgoing *out)
{
    out->n = out->staged = 0;
    for (uint32_t i = 0; i < conn->n_unsent && out->n + 2 <= PIECES_MAX; i++) {
        struct load_slot *slot = unsent_at(conn, i);
        const struct request_body *body = &conn->set->bodies[slot->request];
        if (!stage(out, slot, body)) {
            add_piece(out, slot->header, FRAME_HEADER_BYTES);
            add_piece(out, body->data, body->bytes);
        }
    }
    skip_pieces(out, conn->head_sent);
}

/* `n` more bytes are out. */
static void advance(struct load_conn *conn, size_t n, uint64_t now)
{
    while (n > 0) {
        struct load_slot *slot = unsent_at(conn, 0);
        slot->sent = slot->sent == 0 ? now : slot->sent;
        size_t left = frame_bytes(conn, slot) - conn->head_sent;
        if (n < left) {
            conn->head_sent += n;
            return;
        }
        n -= left;
        slot->out = true;
        if (slot->state == SLOT_GIVEN_UP) {
            expect_late(conn, slot);
        } else if (slot->state == SLOT_ANSWERED) {
            free_slot(conn, slot);
        }
        conn->head_sent = 0;
        conn->n_unsent--;
        if (++conn->unsent_first == conn->depth) {
            conn->unsent_first = 0;
        }
    }
}

/* None of them is late by the client from here on. */
static void hold_unsent(struct load_conn *conn)
{
    for (uint32_t i = 0; i < conn->n_unsent; i++) {
        struct load_slot *slot = unsent_at(conn, i);
        slot->held = slot->held || slot->sent == 0;
    }
}

int load_conn_flush(struct load_conn *conn, uint64_t now)
{
    struct outgoing out;
    while (conn->n_unsent > 0) {
        gather(conn, &out);
        const struct msghdr message = {.msg_iov = out.pieces,
                                       .msg_iovlen = out.n};
        ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (sent >= 0) {
            advance(conn, (size_t)sent, now);
        } else if (errno == EAGAIN) {
            hold_unsent(conn);
            break;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    conn->wants_output = conn->n_unsent > 0;
    return 0;
}

void load_conn_give_up(struct load_conn *conn, struct load_slot *slot)
{
    if (slot->out) {
        expect_late(conn, slot);
    } else {
        slot->state = SLOT_GIVEN_UP;
    }
}

/* ---- receiving -------------------------------------------------------- */

/* Of a request that waits for its answer, and of which some was sent. */
static struct load_slot *slot_of(struct load_conn *conn, uint32_t id)
{
    uint32_t at = id & (LOAD_DEPTH_MAX - 1);
    struct load_slot *slot = at < conn->depth ? &conn->slots[at] : NULL;
    if (slot == NULL || slot->id != id || slot->sent == 0 ||
        slot->state == SLOT_FREE || slot->state == SLOT_ANSWERED) {
        return NULL;
    }
    return slot;
}

static int fail_remote(const struct frame_header *header, const uint8_t *body,
                       struct nb_errctx *err)
{
    struct remote_error error;
    if (remote_error_read(body, header->body_bytes, &error) != 0) {
        return nb_fail(err, NB_ERR_MESSAGE, "malformed error of a connection");
    }
    return nb_fail(err, NB_ERR_REMOTE, "the server ended a connection: %s: %s",
                   remote_error_name(error.code), error.message);
}

/* The answer to a request that was given up? */
static bool take_late(struct load_conn *conn, const struct frame_header *header)
{
    uint32_t id = header->request_id;
    uint32_t at = id & (LOAD_DEPTH_MAX - 1);
    if (at >= conn->depth || header->kind == FRAME_REQUEST) {
        return false;
    }
    /* Differences, as ids wrap. */
    struct load_late *late = &conn->slots[at].late;
    if (late->n == 0 || id - late->first > late->last - late->first) {
        return false;
    }
    late->n--;
    return true;
}

static int take_frames(struct load_conn *conn, load_answer_fn *answer,
                       void *arg, struct nb_errctx *err)
{
    struct frame_header header;
    const uint8_t *body;
    uint64_t now = load_now();
    int rv;
    conn->quiet_since = now;
    while ((rv = reply_buffer_next(&conn->replies, &header, &body, err)) > 0) {
        if (header.kind == FRAME_ERROR && header.request_id == 0) {
            return fail_remote(&header, body, err);
        }
        struct load_slot *slot = slot_of(conn, header.request_id);
        if (slot == NULL && take_late(conn, &header)) {
            continue;
        }
        if (slot == NULL || header.kind == FRAME_REQUEST) {
            return nb_fail(err, NB_ERR_FRAME,
                           "reply of kind %u to request %u, which waits for "
                           "none",
                           header.kind, header.request_id);
        }
        answer(arg, slot, &header, body, now);
        if (slot->out) {
            free_slot(conn, slot);
        } else {
            slot->state = SLOT_ANSWERED;
        }
    }
    return rv;
}

int load_conn_read(struct load_conn *conn, load_answer_fn *answer, void *arg,
                   size_t *bytes, struct nb_errctx *err)
{
    void *at;
    size_t room;
    *bytes = 0;
    int rv = reply_buffer_room(&conn->replies, &at, &room);
    if (rv != 0) {
        return nb_fail(err, rv, "out of memory for replies");
    }
    ssize_t n = recv(conn->fd, at, room, 0);
    if (n < 0) {
        rv = errno == EAGAIN || errno == EINTR ? 0 : -errno;
        return rv == 0 ? 0 : nb_fail(err, rv, "%s", nb_strerror(rv));
    }
    if (n == 0) {
        return nb_fail(err, NB_ERR_CLOSED, "the server closed a connection");
    }
    *bytes = (size_t)n;
    reply_buffer_filled(&conn->replies, (size_t)n);
    return take_frames(conn, answer, arg, err);
}

/* ---- again ------------------------------------------------------------ */

void load_conn_drop(struct load_conn *conn, uint64_t retry_at)
{
    if (conn->fd >= 0) {
        close(conn->fd);
    }
    conn->fd = -1;
    conn->state = CONN_DOWN;
    conn->retry_at = retry_at;
    reset_slots(conn);
    reply_buffer_fini(&conn->replies);
    reply_buffer_init(&conn->replies, MAX_REPLY_BYTES);
}

int load_conn_redial(struct load_conn *conn, uint64_t give_up_at)
{
    int rv = dial_begin((const struct sockaddr *)&conn->peer, conn->peer_bytes,
                        &conn->fd);
    if (rv == 0) {
        conn->state = CONN_DIALLING;
        conn->retry_at = give_up_at;
        conn->wants_output = true;
    }
    return rv;
}

int load_conn_dialled(struct load_conn *conn)
{
    int rv = dial_outcome(conn->fd);
    if (rv == 0) {
        conn->state = CONN_UP;
        conn->wants_output = false;
    }
    return rv;
}
