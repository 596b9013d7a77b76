/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What is still to be sent on a connection: requests, one after another,
 * whatever part of them the socket took. A request given up half-way must still
 * be completed, or the stream would lose its framing: its rest is kept and goes
 * out before all others. */
#ifndef NB_CLIENT_SEND_QUEUE_H
#define NB_CLIENT_SEND_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "client/lib/request_frame.h"
#include "proto/frame.h"

/* A request on its way. The frame is borrowed while this is queued, and not
 * changed: it may go out on two connections, each with an id of its own. */
struct send_item {
    uint8_t header[FRAME_HEADER_BYTES]; /* instead of the frame's */
    const struct request_frame *frame;
    size_t sent;
    bool queued;
    struct send_item *next;
    struct send_item *prev;
};

/* Zero-filled is empty. */
struct send_queue {
    struct send_item *first;
    struct send_item *last;
    uint8_t *kept; /* rest of a request given up */
    size_t kept_bytes;
    size_t kept_sent;
};

/* Forgets all that is queued. */
void send_queue_fini(struct send_queue *queue);

/* Puts a request of this method and id behind the others. */
void send_queue_push(struct send_queue *queue, struct send_item *item,
                     const struct request_frame *frame, uint16_t method,
                     uint32_t request_id);

/* What to send now: the number of pieces written to iov, at most max; 0 when
 * all is sent. */
size_t send_queue_gather(const struct send_queue *queue, struct iovec *iov,
                         size_t max);

/* The socket took `n` bytes of what gather gave; what is wholly sent is queued
 * no more. */
void send_queue_advance(struct send_queue *queue, size_t n);

/* Gives a request up, queued or sent already. *begun tells if the server will
 * see it: then its rest has been copied and will be sent. NB_ERR_NOMEM: the
 * stream is lost. */
int send_queue_withdraw(struct send_queue *queue, struct send_item *item,
                        bool *begun);

#endif
