/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/send_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void send_queue_fini(struct send_queue *queue)
{
    while (queue->first != NULL) {
        queue->first->queued = false;
        queue->first = queue->first->next;
    }
    free(queue->kept);
    *queue = (struct send_queue){0};
}

void send_queue_push(struct send_queue *queue, struct send_item *item,
                     const struct request_frame *frame, uint16_t method,
                     uint32_t request_id)
{
    const struct frame_header header = {
        .kind = FRAME_REQUEST,
        .method = method,
        .request_id = request_id,
        .body_bytes = (uint32_t)(frame->bytes - FRAME_HEADER_BYTES),
    };
    frame_header_put(item->header, &header);
    item->frame = frame;
    item->sent = 0;
    item->queued = true;
    item->next = NULL;
    item->prev = queue->last;
    if (queue->last != NULL) {
        queue->last->next = item;
    } else {
        queue->first = item;
    }
    queue->last = item;
}

static void take_off(struct send_queue *queue, struct send_item *item)
{
    *(item->prev != NULL ? &item->prev->next : &queue->first) = item->next;
    *(item->next != NULL ? &item->next->prev : &queue->last) = item->prev;
    item->queued = false;
}

/* What is left of one request. */
static size_t gather_item(const struct send_item *item, struct iovec *iov,
                          size_t max)
{
    size_t n = 0;
    size_t skip = item->sent;
    if (skip < FRAME_HEADER_BYTES) {
        iov[n++] = (struct iovec){(void *)(item->header + skip),
                                  FRAME_HEADER_BYTES - skip};
        skip = FRAME_HEADER_BYTES;
    }
    for (size_t i = 0; i < item->frame->n_iov && n < max; i++) {
        const struct iovec *piece = &item->frame->iov[i];
        if (skip >= piece->iov_len) {
            skip -= piece->iov_len;
            continue;
        }
        iov[n++] = (struct iovec){(uint8_t *)piece->iov_base + skip,
                                  piece->iov_len - skip};
        skip = 0;
    }
    return n;
}

size_t send_queue_gather(const struct send_queue *queue, struct iovec *iov,
                         size_t max)
{
    size_t n = 0;
    if (queue->kept_sent < queue->kept_bytes && max > 0) {
        iov[n++] = (struct iovec){queue->kept + queue->kept_sent,
                                  queue->kept_bytes - queue->kept_sent};
    }
    for (const struct send_item *item = queue->first; item != NULL && n < max;
         item = item->next) {
        n += gather_item(item, iov + n, max - n);
    }
    return n;
}

void send_queue_advance(struct send_queue *queue, size_t n)
{
    size_t kept = queue->kept_bytes - queue->kept_sent;
    kept = n < kept ? n : kept;
    queue->kept_sent += kept;
    n -= kept;
    while (n > 0) {
        struct send_item *item = queue->first;
        size_t left = item->frame->bytes - item->sent;
        size_t part = n < left ? n : left;
        item->sent += part;
        n -= part;
        if (part == left) {
            take_off(queue, item);
        }
    }
}

/* Something of it was sent, so nothing is left of an earlier one. */
static int keep_rest(struct send_queue *queue, const struct send_item *item)
{
    size_t left = item->frame->bytes - item->sent;
    uint8_t *rest = malloc(left);
    if (rest == NULL) {
        return NB_ERR_NOMEM;
    }
    free(queue->kept);
    queue->kept = rest;
    queue->kept_bytes = left;
    queue->kept_sent = 0;
    struct send_item at = *item;
    while (left > 0) {
        struct iovec piece = {NULL, 0};
        size_t n = gather_item(&at, &piece, 1);
        assert(n == 1 && piece.iov_base != NULL);
        memcpy(rest, piece.iov_base, piece.iov_len);
        rest += piece.iov_len;
        at.sent += piece.iov_len;
        left -= piece.iov_len;
    }
    return 0;
}

int send_queue_withdraw(struct send_queue *queue, struct send_item *item,
                        bool *begun)
{
    *begun = item->sent > 0;
    if (!item->queued) {
        return 0;
    }
    int rv = *begun ? keep_rest(queue, item) : 0;
    take_off(queue, item);
    return rv;
}
