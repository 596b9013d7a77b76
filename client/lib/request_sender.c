/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/request_sender.h"

#include <stdlib.h>
#include <string.h>

void request_sender_fini(struct request_sender *sender)
{
    free(sender->kept_bytes);
    *sender = (struct request_sender){0};
}

void request_sender_set(struct request_sender *sender,
                        struct request_frame *frame)
{
    sender->iov = frame->iov;
    sender->n_iov = frame->n_iov;
    sender->begun = false;
}

size_t request_sender_peek(struct request_sender *sender, struct iovec **iov)
{
    if (sender->kept.iov_len > 0) {
        *iov = &sender->kept;
        return 1;
    }
    *iov = sender->iov;
    return sender->n_iov;
}

static void shorten(struct iovec *piece, size_t n)
{
    piece->iov_base = (uint8_t *)piece->iov_base + n;
    piece->iov_len -= n;
}

void request_sender_advance(struct request_sender *sender, size_t n)
{
    if (sender->kept.iov_len > 0) {
        shorten(&sender->kept, n);
        return;
    }
    sender->begun = sender->begun || n > 0;
    while (n > 0 && n >= sender->iov->iov_len) {
        n -= sender->iov->iov_len;
        sender->iov++;
        sender->n_iov--;
    }
    if (n > 0) {
        shorten(sender->iov, n);
    }
}

int request_sender_keep(struct request_sender *sender, bool *begun)
{
    *begun = sender->begun;
    size_t bytes = 0;
    for (size_t i = 0; i < sender->n_iov; i++) {
        bytes += sender->iov[i].iov_len;
    }
    if (!sender->begun || bytes == 0) {
        sender->n_iov = 0;
        return 0;
    }
    /* Something of it was sent, so nothing is kept of an earlier one. */
    uint8_t *rest = malloc(bytes);
    if (rest == NULL) {
        return NB_ERR_NOMEM;
    }
    free(sender->kept_bytes);
    sender->kept_bytes = rest;
    sender->kept = (struct iovec){.iov_base = rest, .iov_len = bytes};
    for (size_t i = 0; i < sender->n_iov; i++) {
        memcpy(rest, sender->iov[i].iov_base, sender->iov[i].iov_len);
        rest += sender->iov[i].iov_len;
    }
    sender->n_iov = 0;
    return 0;
}
