/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The body of a reply against the request it answers: nothing a server says is
 * used before it has been found to fit what was asked. */
#ifndef NB_CLIENT_REPLY_BLOCKS_H
#define NB_CLIENT_REPLY_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/lib/nibble_client.h"

/* Zero-filled is empty. Memory is kept from one reply to the next, and so is
 * what was read: a body that differs from the last one in nothing but values,
 * as the replies to requests of one shape do, is not parsed again. */
struct reply_blocks {
    struct nb_block *blocks; /* handed out, and the caller's to change */
    struct nb_block *known;  /* of the last body, as they were read */
    size_t *gaps;            /* before the values of each block */
    size_t capacity;
    uint8_t *outline; /* every byte of the last body but its values */
    size_t outline_capacity;
    size_t body_bytes; /* of the last body; 0: it is not known */
    size_t n_blocks;
    uint64_t version;
};

/* Fills *reply with the blocks of a BlocksReply, which borrow `body`.
 * NB_ERR_MESSAGE (*err names the block), NB_ERR_NOMEM. */
int reply_blocks_read(struct reply_blocks *blocks, const void *body,
                      size_t body_bytes, const struct nb_request *request,
                      bool pool, struct nb_reply *reply, struct nb_errctx *err);

void reply_blocks_fini(struct reply_blocks *blocks);

#endif
