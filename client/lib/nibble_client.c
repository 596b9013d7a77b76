/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The blocking client: a socket and a deadline around the parts that know
 * nothing of either. request_frame makes the bytes of a request, send_queue
 * knows what is left of them, reply_buffer makes frames of what comes back,
 * inflight tells whose they are, reply_blocks checks them.
 *
 * A call sends and receives in one loop. It reads while it writes, because the
 * server may be busy with the late reply to a request given up before and stop
 * reading until that is out; and it reads on after a failed write, because a
 * server that closes says why first.
 */
#include "client/lib/nibble_client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/lib/deadline.h"
#include "client/lib/dial.h"
#include "client/lib/inflight.h"
#include "client/lib/remote_error.h"
#include "client/lib/reply_blocks.h"
#include "client/lib/reply_buffer.h"
#include "client/lib/reply_params.h"
#include "client/lib/request_frame.h"
#include "client/lib/send_queue.h"
#include "proto/frame.h"

/* Of one write: as many as are worth a call. */
#define PIECES_MAX         256u
#define CONNECT_TIMEOUT_MS 5000u
#define TIMEOUT_MS         30000u
#define MAX_REPLY_BYTES    (256u << 20)

struct nb_client {
    int fd;
    int lost; /* what ended the connection, 0 while it lives */
    uint32_t timeout_ms;
    uint32_t remote_code;
    struct inflight inflight;
    struct request_frame frame;
    struct send_queue sends;
    struct send_item request;
    struct reply_buffer replies;
    struct reply_blocks blocks;
    char address[128]; /* as given, for messages */
    struct nb_errctx why_lost;
};

/* A reply frame; body is valid until the next call. */
struct answer {
    const uint8_t *body;
    size_t bytes;
};

/* ---- errors ----------------------------------------------------------- */

/* Every message names the server. */
static int fail(const struct nb_client *client, struct nb_errctx *err, int code,
                const char *why)
{
    return nb_fail(err, code, "%s: %s", client->address, why);
}

/* The stream cannot be trusted any more: this error, now and from now on. */
static int lose(struct nb_client *client, int code, const char *why)
{
    if (client->lost == 0) {
        client->lost = code;
        fail(client, &client->why_lost, code, why);
    }
    return client->lost;
}

static int say_lost(const struct nb_client *client, struct nb_errctx *err)
{
    return nb_fail(err, client->lost, "%s", client->why_lost.text);
}

/* ---- sending ---------------------------------------------------------- */

/* Hands the socket what it takes. A failure leaves why in *send_error. */
static void send_some(struct nb_client *client, int *send_error)
{
    struct iovec iov[PIECES_MAX];
    size_t n;
    while (*send_error == 0 &&
           (n = send_queue_gather(&client->sends, iov, PIECES_MAX)) > 0) {
        const struct msghdr message = {.msg_iov = iov, .msg_iovlen = n};
        ssize_t sent = sendmsg(client->fd, &message, MSG_NOSIGNAL);
        if (sent >= 0) {
            send_queue_advance(&client->sends, (size_t)sent);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            *send_error = -errno;
        }
    }
}

static bool has_more_to_send(struct nb_client *client, int send_error)
{
    struct iovec iov;
    return send_error == 0 && send_queue_gather(&client->sends, &iov, 1) > 0;
}

/* ---- receiving -------------------------------------------------------- */

static int read_error_frame(struct nb_client *client,
                            const struct answer *answer, bool ends_connection,
                            struct nb_errctx *err)
{
    struct remote_error error;
    if (remote_error_read(answer->body, answer->bytes, &error) != 0) {
        return lose(client, NB_ERR_MESSAGE, "malformed error reply");
    }
    struct nb_errctx text;
    nb_fail(&text, 0, "%s (%u): %s", remote_error_name(error.code), error.code,
            error.message);
    if (ends_connection) {
        return lose(client, NB_ERR_CLOSED, text.text);
    }
    client->remote_code = error.code;
    return fail(client, err, NB_ERR_REMOTE, text.text);
}

/* A whole frame has come. 1: it is the answer to `id`; 0: to a request given
 * up. An error frame of id 0 is about the connection. */
static int take_frame(struct nb_client *client, uint32_t id,
                      const struct frame_header *header,
                      const struct answer *answer, struct nb_errctx *err)
{
    if (header->kind == FRAME_ERROR && header->request_id == 0) {
        return read_error_frame(client, answer, true, err);
    }
    void *owner;
    if (header->kind == FRAME_REQUEST ||
        inflight_take(&client->inflight, header->request_id, header->method,
                      &owner) != 0) {
        struct nb_errctx text;
        nb_fail(&text, 0,
                "reply of kind %u, method %u, to request %u: "
                "nothing of the sort was asked",
                header->kind, header->method, header->request_id);
        return lose(client, NB_ERR_FRAME, text.text);
    }
    if (header->request_id != id) {
        return 0;
    }
    return header->kind == FRAME_ERROR
               ? read_error_frame(client, answer, false, err)
               : 1;
}

/* Looks for the answer to `id` in what was read. 1: there it is; 0: not yet. */
static int take_frames(struct nb_client *client, uint32_t id,
                       struct answer *answer, struct nb_errctx *err)
{
    struct frame_header header;
    struct nb_errctx text;
    int rv;
    while ((rv = reply_buffer_next(&client->replies, &header, &answer->body,
                                   &text)) > 0) {
        answer->bytes = header.body_bytes;
        rv = take_frame(client, id, &header, answer, err);
        if (rv != 0) {
            return rv;
        }
    }
    return rv < 0 ? lose(client, rv, text.text) : 0;
}

static int receive_some(struct nb_client *client, int send_error,
                        struct nb_errctx *err)
{
    void *at;
    size_t room;
    if (reply_buffer_room(&client->replies, &at, &room) != 0) {
        return fail(client, err, NB_ERR_NOMEM, "no memory for the reply");
    }
    ssize_t n = recv(client->fd, at, room, 0);
    if (n > 0) {
        reply_buffer_filled(&client->replies, (size_t)n);
        return 0;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n == 0 && send_error == 0) {
        return lose(client, NB_ERR_CLOSED, nb_strerror(NB_ERR_CLOSED));
    }
    int code = n < 0 ? -errno : send_error;
    return lose(client, code, nb_strerror(code));
}

/* ---- a call ----------------------------------------------------------- */

static int wait_socket(struct nb_client *client, int send_error,
                       uint64_t deadline, struct nb_errctx *err)
{
    bool sending = has_more_to_send(client, send_error);
    int events =
        deadline_poll(client->fd, POLLIN | (sending ? POLLOUT : 0), deadline);
    if (events == NB_ERR_TIMEOUT) {
        struct nb_errctx text;
        nb_fail(&text, 0, "%s within %u ms",
                sending ? "request not taken" : "no reply", client->timeout_ms);
        return fail(client, err, NB_ERR_TIMEOUT, text.text);
    }
    return events < 0 ? lose(client, events, nb_strerror(events)) : events;
}

static int exchange(struct nb_client *client, uint32_t id,
                    struct answer *answer, struct nb_errctx *err)
{
    uint64_t deadline = deadline_after_ms(client->timeout_ms);
    int send_error = 0;
    int rv;
    while ((rv = take_frames(client, id, answer, err)) == 0) {
        send_some(client, &send_error);
        int events = wait_socket(client, send_error, deadline, err);
        if (events < 0) {
            return events;
        }
        if ((events & POLLIN) != 0) {
            rv = receive_some(client, send_error, err);
            if (rv != 0) {
                return rv;
            }
        }
    }
    return rv < 0 ? rv : 0;
}

/* Whatever came of the call, the next one must find whole frames on the wire
 * and nobody waiting for this one. */
static void settle(struct nb_client *client, uint32_t id)
{
    bool begun;
    if (send_queue_withdraw(&client->sends, &client->request, &begun) != 0) {
        lose(client, NB_ERR_CLOSED,
             "a request was cut short: no memory to complete it later");
    } else if (begun) {
        inflight_abandon(&client->inflight, id);
    } else {
        inflight_cancel(&client->inflight, id);
    }
}

/* Sends one request, with a body if `request` is not NULL, and waits for its
 * answer. */
static int call(struct nb_client *client, uint16_t method,
                const struct nb_request *request, struct answer *answer,
                struct nb_errctx *err)
{
    if (client->lost != 0) {
        return say_lost(client, err);
    }
    struct request_call head = {.method = method,
                                .timeout_ms = client->timeout_ms};
    if (inflight_add(&client->inflight, method, client, &head.request_id) !=
        0) {
        lose(client, NB_ERR_TOO_LARGE, "too many requests are unanswered");
        return say_lost(client, err);
    }
    int rv;
    if (request == NULL) {
        rv = request_frame_encode_empty(&client->frame, &head, err);
    } else if (method == FRAME_METHOD_status) {
        rv = request_frame_encode_params(&client->frame, &head, request, err);
    } else {
        rv = request_frame_encode(&client->frame, &head, request, err);
    }
    if (rv != 0) {
        inflight_cancel(&client->inflight, head.request_id);
        return rv;
    }
    send_queue_push(&client->sends, &client->request, &client->frame, method,
                    head.request_id);
    rv = exchange(client, head.request_id, answer, err);
    if (client->lost == 0) {
        settle(client, head.request_id);
    }
    return client->lost == 0 ? rv : say_lost(client, err);
}

static int call_blocks(struct nb_client *client, uint16_t method,
                       const struct nb_request *request, struct nb_reply *reply,
                       struct nb_errctx *err)
{
    struct answer answer = {0};
    int rv = call(client, method, request, &answer, err);
    if (rv != 0) {
        return rv;
    }
    struct nb_errctx text;
    rv = reply_blocks_read(&client->blocks, answer.body, answer.bytes, request,
                           method == FRAME_METHOD_pool, reply, &text);
    if (rv == NB_ERR_NOMEM) {
        return fail(client, err, rv, text.text);
    }
    if (rv != 0) {
        lose(client, rv, text.text);
        return say_lost(client, err);
    }
    return 0;
}

/* ---- public ----------------------------------------------------------- */

int nb_client_connect(const char *address,
                      const struct nb_client_options *options,
                      struct nb_client **client, struct nb_errctx *err)
{
    if (address == NULL) {
        return nb_fail(err, NB_ERR_INVALID, "no address to connect to");
    }
    const struct nb_client_options none = {0};
    const struct nb_client_options *set = options != NULL ? options : &none;
    struct nb_client *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%.128s: no memory for a client",
                       address);
    }
    int rv = dial_connect(address,
                          set->connect_timeout_ms != 0 ? set->connect_timeout_ms
                                                       : CONNECT_TIMEOUT_MS,
                          &made->fd, err);
    if (rv != 0) {
        free(made);
        return rv;
    }
    made->timeout_ms = set->timeout_ms != 0 ? set->timeout_ms : TIMEOUT_MS;
    snprintf(made->address, sizeof(made->address), "%s", address);
    reply_buffer_init(&made->replies, set->max_reply_bytes != 0
                                          ? set->max_reply_bytes
                                          : MAX_REPLY_BYTES);
    *client = made;
    return 0;
}

void nb_client_close(struct nb_client *client)
{
    if (client == NULL) {
        return;
    }
    close(client->fd);
    send_queue_fini(&client->sends);
    request_frame_fini(&client->frame);
    reply_buffer_fini(&client->replies);
    reply_blocks_fini(&client->blocks);
    free(client);
}

int nb_client_lookup(struct nb_client *client, const struct nb_request *request,
                     struct nb_reply *reply, struct nb_errctx *err)
{
    return call_blocks(client, FRAME_METHOD_lookup, request, reply, err);
}

int nb_client_pool(struct nb_client *client, const struct nb_request *request,
                   struct nb_reply *reply, struct nb_errctx *err)
{
    return call_blocks(client, FRAME_METHOD_pool, request, reply, err);
}

int nb_client_ping(struct nb_client *client, struct nb_errctx *err)
{
    struct answer answer = {0};
    return call(client, FRAME_METHOD_ping, NULL, &answer, err);
}

int nb_client_status(struct nb_client *client, const void **body,
                     size_t *body_bytes, struct nb_errctx *err)
{
    struct answer answer = {0};
    int rv = call(client, FRAME_METHOD_status, NULL, &answer, err);
    if (rv == 0) {
        *body = answer.body;
        *body_bytes = answer.bytes;
    }
    return rv;
}

int nb_client_params(struct nb_client *client, const struct nb_request *request,
                     struct nb_table_params **params, struct nb_errctx *err)
{
    struct answer answer = {0};
    int rv = call(client, FRAME_METHOD_status, request, &answer, err);
    if (rv != 0) {
        return rv;
    }
    struct nb_errctx text;
    rv = reply_params_read(answer.body, answer.bytes, params, &text);
    if (rv == NB_ERR_MESSAGE) {
        lose(client, rv, text.text);
        return say_lost(client, err);
    }
    return rv == 0 ? 0 : fail(client, err, rv, text.text);
}

uint32_t nb_client_remote_code(const struct nb_client *client)
{
    return client->remote_code;
}
