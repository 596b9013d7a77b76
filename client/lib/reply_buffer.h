/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Bytes from the server put together to frames, however they were split. */
#ifndef NB_CLIENT_REPLY_BUFFER_H
#define NB_CLIENT_REPLY_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"

struct reply_buffer {
    uint8_t *data;
    size_t capacity;
    size_t start;            /* of the first frame not yet taken */
    size_t end;              /* of the bytes read */
    uint32_t max_body_bytes; /* a longer frame is an error */
};

void reply_buffer_init(struct reply_buffer *buffer, uint32_t max_body_bytes);
void reply_buffer_fini(struct reply_buffer *buffer);

/* Where to read to, never without room; ends what reply_buffer_next() gave. The
 * buffer grows with what was read, to twice that at most. NB_ERR_NOMEM. */
int reply_buffer_room(struct reply_buffer *buffer, void **at, size_t *room);

/* Tells that `n` bytes were read there. */
void reply_buffer_filled(struct reply_buffer *buffer, size_t n);

/*
 * Takes the next frame: 1, with *body valid until the next
 * reply_buffer_room(); 0 if it is not all there; NB_ERR_FRAME,
 * NB_ERR_TOO_LARGE, after which the stream has no meaning any more.
 */
int reply_buffer_next(struct reply_buffer *buffer, struct frame_header *header,
                      const uint8_t **body, struct nb_errctx *err);

#endif
