/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What is still to be sent of a request, whatever part of it the socket took.
 * A request given up half-way must still be completed, or the stream would lose
 * its framing: its rest is kept and goes out ahead of the next one. */
#ifndef NB_CLIENT_REQUEST_SENDER_H
#define NB_CLIENT_REQUEST_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "client/lib/request_frame.h"

/* Zero-filled is empty. */
struct request_sender {
    struct iovec kept;   /* rest of a request given up, first to go */
    uint8_t *kept_bytes; /* the memory of `kept` */
    struct iovec *iov;   /* of the request, borrowed, shortened as it goes */
    size_t n_iov;
    bool begun; /* some of the request was sent */
};

void request_sender_fini(struct request_sender *sender);

/* Borrows and changes the frame's gather list until all is sent or kept. */
void request_sender_set(struct request_sender *sender,
                        struct request_frame *frame);

/* What to send now: the number of pieces at *iov, 0 when all is sent. */
size_t request_sender_peek(struct request_sender *sender, struct iovec **iov);

/* The socket took `n` bytes of what peek gave. */
void request_sender_advance(struct request_sender *sender, size_t n);

/* Gives the request up. *begun tells if the server will see it: then its rest
 * has been copied and will be sent. NB_ERR_NOMEM: the stream is lost. */
int request_sender_keep(struct request_sender *sender, bool *begun);

#endif
