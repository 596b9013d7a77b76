/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A request as the bytes to send: a gather list over a small buffer of our own
 * and over the caller's id and weight arrays, which are not copied. */
#ifndef NB_CLIENT_REQUEST_FRAME_H
#define NB_CLIENT_REQUEST_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "client/lib/nibble_client.h"

/* Zero-filled is empty. Memory is kept from one request to the next. */
struct request_frame {
    struct iovec *iov; /* of the frame, header included */
    size_t n_iov;
    size_t bytes;        /* sum of iov */
    uint8_t *own;        /* what is not borrowed */
    size_t own_capacity; /* bytes */
    struct feature_plan *plans;
    size_t feature_capacity; /* of plans; iov has room for as many */
};

/* What the header and the deadline field say. */
struct request_call {
    uint16_t method; /* enum frame_method */
    uint32_t request_id;
    uint32_t timeout_ms; /* told to the server, 0: none */
};

/* Encodes a lookup or a pool; the frame borrows the arrays of *request.
 * NB_ERR_INVALID (*err names the feature), NB_ERR_NOMEM. */
int request_frame_encode(struct request_frame *frame,
                         const struct request_call *call,
                         const struct nb_request *request,
                         struct nb_errctx *err);

/* Encodes a status request for the parameters of features[0].table. As
 * request_frame_encode(). */
int request_frame_encode_params(struct request_frame *frame,
                                const struct request_call *call,
                                const struct nb_request *request,
                                struct nb_errctx *err);

/* A request without a body. NB_ERR_NOMEM. */
int request_frame_encode_empty(struct request_frame *frame,
                               const struct request_call *call,
                               struct nb_errctx *err);

void request_frame_fini(struct request_frame *frame);

#endif
