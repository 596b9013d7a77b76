/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A connection of the load: pipelined, never blocking, without an allocation a
 * request. Replies may come in any order. */
#ifndef NB_BENCH_LOAD_CONN_H
#define NB_BENCH_LOAD_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "client/bench/request_set.h"
#include "client/lib/reply_buffer.h"
#include "proto/frame.h"

#define LOAD_DEPTH_MAX 1024u

enum load_slot_state {
    SLOT_FREE,
    SLOT_WAITING,  /* for its reply, or to be sent */
    SLOT_GIVEN_UP, /* before all of it was sent: that frees it */
    SLOT_ANSWERED  /* likewise */
};

/* Requests of a slot that were given up, sent whole: their replies may still
 * come, in any order. */
struct load_late {
    uint32_t n;
    uint32_t first; /* ids, if n > 0; those of a slot grow */
    uint32_t last;
};

/* A request on its way. Times are of the monotonic clock, in ns. */
struct load_slot {
    uint8_t header[FRAME_HEADER_BYTES];
    uint32_t id; /* its low bits are the slot's number */
    enum load_slot_state state;
    size_t request; /* in the request_set */
    uint64_t due;
    uint64_t sent; /* 0: no byte of it was */
    bool out;      /* every byte of it was */
    bool held;     /* it had to wait for room, in a slot or in the socket */
    struct load_late late; /* those before it */
};

enum load_conn_state {
    CONN_DOWN, /* until it is dialled again */
    CONN_DIALLING,
    CONN_UP
};

struct load_conn {
    int fd; /* -1: none */
    enum load_conn_state state;
    uint64_t retry_at; /* CONN_DOWN: to dial; CONN_DIALLING: to give that up */
    bool refused;      /* CONN_DOWN: the last try to dial again failed */
    uint64_t quiet_since; /* heard last, or asked when it owed nothing */
    const struct request_set *set;
    struct load_slot *slots;
    uint32_t depth;
    uint32_t generation; /* of ids */
    uint16_t *free;      /* a stack of slots */
    uint32_t n_free;
    uint16_t *unsent; /* a ring of slots, in the order they go out */
    uint32_t unsent_first;
    uint32_t n_unsent;
    size_t head_sent;  /* bytes of the first of them that are out */
    bool wants_output; /* the socket is full */
    bool dirty;        /* of the owner: to be flushed */
    struct reply_buffer replies;
    struct sockaddr_storage peer; /* to dial again */
    socklen_t peer_bytes;
};

/* Connects, waiting for it. On success the caller ends *conn with
 * load_conn_close(). Errors of dial_connect(); NB_ERR_NOMEM. */
int load_conn_open(struct load_conn *conn, const char *address,
                   uint32_t timeout_ms, const struct request_set *set,
                   uint32_t depth, struct nb_errctx *err);
void load_conn_close(struct load_conn *conn);

/* Puts a request behind those to be sent; there must be a free slot. */
struct load_slot *load_conn_queue(struct load_conn *conn, uint16_t method,
                                  size_t request, uint64_t due, uint64_t now);

/* Sends what the socket takes. -errno: the connection is lost. */
int load_conn_flush(struct load_conn *conn, uint64_t now);

/* Nobody waits for its reply any more: the slot is free once all of the request
 * has been sent, and the reply, if one comes, is left out. */
void load_conn_give_up(struct load_conn *conn, struct load_slot *slot);

/* A frame has come in answer to `slot`, which is free again afterwards; body is
 * valid for the call. */
typedef void load_answer_fn(void *arg, const struct load_slot *slot,
                            const struct frame_header *header,
                            const uint8_t *body, uint64_t now);

/* Reads once and tells of every frame that is whole. *bytes: how much was read.
 * -errno, NB_ERR_CLOSED, NB_ERR_REMOTE (about the connection), NB_ERR_FRAME,
 * NB_ERR_TOO_LARGE, NB_ERR_NOMEM: the connection is lost. */
int load_conn_read(struct load_conn *conn, load_answer_fn *answer, void *arg,
                   size_t *bytes, struct nb_errctx *err);

/* The connection is lost: the caller has dealt with the slots in use. */
void load_conn_drop(struct load_conn *conn, uint64_t retry_at);

/* Begins to dial again, which the caller gives up at give_up_at by
 * load_conn_drop(); then, when the socket has become writable, tells if it is
 * CONN_UP. -errno: it is down still. */
int load_conn_redial(struct load_conn *conn, uint64_t give_up_at);
int load_conn_dialled(struct load_conn *conn);

/* CLOCK_MONOTONIC, in ns. */
uint64_t load_now(void);

#endif
