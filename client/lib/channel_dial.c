/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * How a connection of a channel comes about, again and again.
 *
 * Happy path: the name is looked up, the first of its addresses is connected
 * to, conn_on_poll() finds that it went well.
 *
 * Failure modes: the next address is tried, each with its share of the time;
 * after the last one there is a pause, longer each time, and all begins anew.
 *
 * On close: no step begins another one once the channel is shut.
 */
#include <unistd.h>

#include "client/lib/channel.h"
#include "client/lib/dial.h"

static void begin_connecting(struct channel_conn *conn);

void conn_drop_found(struct channel_conn *conn)
{
    if (conn->found != NULL) {
        uv_freeaddrinfo(conn->found);
    }
    conn->found = conn->next = NULL;
}

void conn_pause(struct channel_conn *conn)
{
    conn->state = CONN_IDLE;
    conn_drop_found(conn);
    if (!conn->channel->shut) {
        uv_timer_start(&conn->timer, conn_on_timer,
                       backoff_next_ms(&conn->backoff), 0);
    }
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct channel_conn *conn = handle->data;
    reply_buffer_fini(&conn->replies); /* not before: a reply may be in use */
    if (conn->next != NULL && !conn->channel->shut) {
        begin_connecting(conn); /* the next address */
    } else {
        conn_pause(conn);
    }
    channel_handle_closed(conn->channel); /* may free conn */
}

void conn_close_socket(struct channel_conn *conn)
{
    conn->state = CONN_CLOSING;
    conn->events = 0;
    uv_timer_stop(&conn->timer);
    uv_close((uv_handle_t *)&conn->poll, on_poll_closed);
    close(conn->fd);
    conn->fd = -1;
}

void conn_note_loss(struct channel_conn *conn, const char *why)
{
    tally_add(&conn->channel->tally.losses, 1);
    nb_fail(&conn->channel->last_loss, 0, "%.128s: %s", conn->replica->address,
            why);
}

/* ---- connecting ------------------------------------------------------- */

int conn_poll_for(struct channel_conn *conn, int events)
{
    if (conn->events == events) {
        return 0;
    }
    conn->events = events;
    return uv_poll_start(&conn->poll, events, conn_on_poll);
}

static int connect_to(struct channel_conn *conn, const struct sockaddr *to,
                      socklen_t to_bytes)
{
    int rv = dial_begin(to, to_bytes, &conn->fd);
    if (rv != 0) {
        return rv;
    }
    rv = uv_poll_init(conn->channel->loop, &conn->poll, conn->fd);
    if (rv != 0) {
        close(conn->fd);
        conn->fd = -1;
        return rv;
    }
    conn->poll.data = conn;
    conn->channel->n_open++;
    conn->state = CONN_CONNECTING;
    conn->events = 0;
    conn->send_error = 0;
    conn->heard = false;
    rv = conn_poll_for(conn, UV_WRITABLE);
    if (rv != 0) {
        conn_close_socket(conn);
    }
    return rv;
}

/* The share of the time that is left, of those that are still to be tried. */
static uint64_t connect_share(const struct channel_conn *conn)
{
    uint64_t now = uv_now(conn->channel->loop);
    uint64_t left = conn->connect_by > now ? conn->connect_by - now : 0;
    uint64_t n = 1;
    for (const struct addrinfo *at = conn->next; at != NULL; at = at->ai_next) {
        n++;
    }
    return left / n;
}

/* Tries what is left of the addresses, until one is under way. */
static void begin_connecting(struct channel_conn *conn)
{
    int rv = NB_ERR_INVALID;
    while (conn->next != NULL) {
        const struct addrinfo *to = conn->next;
        conn->next = to->ai_next;
        rv = connect_to(conn, to->ai_addr, to->ai_addrlen);
        if (rv == 0) {
            uv_timer_start(&conn->timer, conn_on_timer, connect_share(conn), 0);
            return;
        }
        if (conn->state == CONN_CLOSING) {
            return;
        }
    }
    conn_note_loss(conn, uv_strerror(rv));
    conn_pause(conn);
}

static void connect_unix(struct channel_conn *conn)
{
    struct sockaddr_un to;
    int rv = dial_unix(conn->replica->address, &to, NULL);
    if (rv == 0) {
        rv = connect_to(conn, (const struct sockaddr *)&to, sizeof(to));
    }
    if (rv == 0) {
        uv_timer_start(&conn->timer, conn_on_timer,
                       conn->channel->options.connect_timeout_ms, 0);
        return;
    }
    conn_note_loss(conn, nb_strerror(rv));
    if (conn->state != CONN_CLOSING) {
        conn_pause(conn);
    }
}

static void on_found(uv_getaddrinfo_t *lookup, int status,
                     struct addrinfo *found)
{
    struct channel_conn *conn = lookup->data;
    conn->found = conn->next = found;
    if (status != 0 && !conn->channel->shut) {
        conn_note_loss(conn, uv_strerror(status));
    }
    if (status != 0 || conn->channel->shut) {
        conn_pause(conn);
    } else {
        begin_connecting(conn);
    }
    channel_handle_closed(conn->channel); /* may free conn */
}

static void begin_lookup(struct channel_conn *conn)
{
    char host[DIAL_HOST_BYTES];
    char port[DIAL_PORT_BYTES];
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICSERV,
    };
    conn->connect_by =
        uv_now(conn->channel->loop) + conn->channel->options.connect_timeout_ms;
    conn->state = CONN_RESOLVING;
    int rv = dial_split(conn->replica->address, host, port, NULL);
    if (rv == 0) {
        rv = uv_getaddrinfo(conn->channel->loop, &conn->lookup, on_found, host,
                            port, &hints);
    }
    if (rv != 0) {
        conn_note_loss(conn, nb_strerror(rv));
        conn_pause(conn);
        return;
    }
    conn->channel->n_open++;
}

void conn_dial(struct channel_conn *conn)
{
    if (dial_is_unix(conn->replica->address)) {
        connect_unix(conn);
    } else {
        begin_lookup(conn);
    }
}
