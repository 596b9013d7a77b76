/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Replies of one connection, waiting to be sent. A reply is written in place,
 * whole, into one buffer; small ones share a buffer, so that many pipelined
 * replies leave in one write. */
#ifndef NB_SERVER_OUTQ_H
#define NB_SERVER_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "server/request/buf_pool.h"

struct outq {
    struct buf_pool *pool;
    struct buf *head;
    struct buf *tail;
    size_t bytes;     /* committed, not yet consumed */
    size_t n_replies; /* not yet wholly sent; a shared buffer counts until it
                         is empty */
    bool held; /* the room is being filled: what is sent does not drop it */
};

void outq_init(struct outq *queue, struct buf_pool *pool);
void outq_fini(struct outq *queue);

/* Room for `bytes` bytes at the end; NULL: out of memory. Nothing is queued
 * before outq_commit(); reserving again gives the same room anew. */
void *outq_reserve(struct outq *queue, size_t bytes);

/* The room stays while what stands before it is sent, until outq_commit(), or
 * until something else is reserved. */
void outq_hold(struct outq *queue);

/* Queues the first `bytes` bytes of the room as one reply. */
void outq_commit(struct outq *queue, size_t bytes);

/* Points at most `max` vectors at what is to be sent, in order. They hold
 * until that much is consumed. Returns how many there are. */
unsigned outq_gather(const struct outq *queue, struct iovec *vectors,
                     unsigned max);

/* Drops the first `bytes` bytes, which have been sent. */
void outq_consume(struct outq *queue, size_t bytes);

#endif
