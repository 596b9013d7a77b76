/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/reply_buffer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Holds the replies of small requests; larger ones make it grow once. */
#define FIRST_CAPACITY (64u << 10)
/* A read that filled the buffer left more behind: so much in one is worth it.
 */
#define READ_CAPACITY (256u << 10)

void reply_buffer_init(struct reply_buffer *buffer, uint32_t max_body_bytes)
{
    *buffer = (struct reply_buffer){.max_body_bytes = max_body_bytes};
}

void reply_buffer_fini(struct reply_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct reply_buffer){0};
}

/* Grows with what has come, not with what a header promises: a peer that lies
 * about a length costs no memory. */
static int grow(struct reply_buffer *buffer)
{
    size_t limit = (size_t)FRAME_HEADER_BYTES + buffer->max_body_bytes;
    size_t capacity =
        buffer->capacity == 0 ? FIRST_CAPACITY : 2 * buffer->capacity;
    if (capacity > limit && limit > FIRST_CAPACITY) {
        capacity = limit;
    }
    uint8_t *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        return NB_ERR_NOMEM;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

static bool is_short(const struct reply_buffer *buffer)
{
    return buffer->capacity < READ_CAPACITY &&
           buffer->capacity < buffer->max_body_bytes;
}

int reply_buffer_room(struct reply_buffer *buffer, void **at, size_t *room)
{
    size_t held = buffer->end - buffer->start;
    bool filled = buffer->end == buffer->capacity;
    if (held == 0) {
        buffer->start = buffer->end = 0;
    } else if (filled && buffer->start > 0) {
        memmove(buffer->data, buffer->data + buffer->start, held);
        buffer->start = 0;
        buffer->end = held;
    }
    if (buffer->end == buffer->capacity || (filled && is_short(buffer))) {
        int rv = grow(buffer);
        if (rv != 0) {
            return rv;
        }
    }
    *at = buffer->data + buffer->end;
    *room = buffer->capacity - buffer->end;
    return 0;
}

void reply_buffer_filled(struct reply_buffer *buffer, size_t n)
{
    buffer->end += n;
}

int reply_buffer_next(struct reply_buffer *buffer, struct frame_header *header,
                      const uint8_t **body, struct nb_errctx *err)
{
    size_t held = buffer->end - buffer->start;
    if (held < FRAME_HEADER_BYTES) {
        return 0;
    }
    const uint8_t *frame = buffer->data + buffer->start;
    int rv = frame_header_get(frame, buffer->max_body_bytes, header, err);
    if (rv != 0) {
        return rv;
    }
    if (held - FRAME_HEADER_BYTES < header->body_bytes) {
        return 0;
    }
    *body = frame + FRAME_HEADER_BYTES;
    buffer->start += FRAME_HEADER_BYTES + (size_t)header->body_bytes;
    return 1;
}
