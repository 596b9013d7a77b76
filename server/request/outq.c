/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/outq.h"

#include <assert.h>

/* Some thirty replies of a few rows, or one of a few hundred bags. */
#define SHARED_BYTES (60u << 10)

void outq_init(struct outq *queue, struct buf_pool *pool)
{
    *queue = (struct outq){.pool = pool};
}

static void drop_head(struct outq *queue)
{
    struct buf *buf = queue->head;
    queue->head = buf->next;
    if (queue->head == NULL) {
        queue->tail = NULL;
    }
    queue->n_replies -= buf->n_replies;
    buf_give(queue->pool, buf);
}

void outq_fini(struct outq *queue)
{
    while (queue->head != NULL) {
        drop_head(queue);
    }
    queue->bytes = 0;
    queue->held = false;
}

/* A buffer to share, or where memory is short one that just holds it. */
static struct buf *take(struct buf_pool *pool, size_t bytes)
{
    struct buf *buf =
        bytes < SHARED_BYTES ? buf_take(pool, SHARED_BYTES) : NULL;
    return buf != NULL ? buf : buf_take(pool, bytes);
}

void *outq_reserve(struct outq *queue, size_t bytes)
{
    struct buf *tail = queue->tail;
    queue->held = false;
    if (tail == NULL || tail->capacity - tail->end < bytes) {
        tail = take(queue->pool, bytes);
        if (tail == NULL) {
            return NULL;
        }
        if (queue->tail == NULL) {
            queue->head = tail;
        } else {
            queue->tail->next = tail;
        }
        queue->tail = tail;
    }
    return tail->data + tail->end;
}

void outq_hold(struct outq *queue)
{
    queue->held = true;
}

void outq_commit(struct outq *queue, size_t bytes)
{
    struct buf *tail = queue->tail;
    queue->held = false;
    assert(tail != NULL && bytes <= tail->capacity - tail->end);
    tail->end += bytes;
    tail->n_replies++;
    queue->n_replies++;
    queue->bytes += bytes;
}

unsigned outq_gather(const struct outq *queue, struct iovec *vectors,
                     unsigned max)
{
    unsigned n = 0;
    for (struct buf *buf = queue->head; buf != NULL && n < max;
         buf = buf->next) {
        if (buf->end > buf->start) {
            vectors[n++] = (struct iovec){
                .iov_base = buf->data + buf->start,
                .iov_len = buf->end - buf->start,
            };
        }
    }
    return n;
}

/* All in it is sent, but the room at its end is held. */
static void empty_tail(struct outq *queue)
{
    struct buf *tail = queue->tail;
    tail->start = tail->end;
    queue->n_replies -= tail->n_replies;
    tail->n_replies = 0;
}

void outq_consume(struct outq *queue, size_t bytes)
{
    assert(bytes <= queue->bytes);
    queue->bytes -= bytes;
    while (queue->head != NULL) {
        struct buf *buf = queue->head;
        size_t here = buf->end - buf->start;
        if (here > bytes) {
            buf->start += bytes;
            return;
        }
        bytes -= here;
        if (queue->held && buf == queue->tail) {
            empty_tail(queue);
            return;
        }
        drop_head(queue);
    }
}
