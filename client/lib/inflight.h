/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The requests that have no reply yet, by id. */
#ifndef NB_CLIENT_INFLIGHT_H
#define NB_CLIENT_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/nibble.h"

#define INFLIGHT_MAX 1024u /* a power of two: an id's low bits are its slot */

/* Zero-filled is empty. */
struct inflight {
    uint32_t last_id;
    struct inflight_slot {
        uint32_t id;     /* 0: free */
        uint16_t method; /* enum frame_method */
        void *owner;     /* who waits; NULL: nobody, the reply is dropped */
    } slots[INFLIGHT_MAX];
};

/* Takes the next id for `owner`, not NULL. NB_ERR_TOO_LARGE: the one
 * INFLIGHT_MAX before it is still unanswered. */
int inflight_add(struct inflight *inflight, uint16_t method, void *owner,
                 uint32_t *id);

/* Would inflight_add() fail? */
bool inflight_is_full(const struct inflight *inflight);

/* Nobody waits for the reply any more; it may still come. */
void inflight_abandon(struct inflight *inflight, uint32_t id);

/* Nothing of the request was sent: no reply will come. */
void inflight_cancel(struct inflight *inflight, uint32_t id);

/* A reply has come. NB_ERR_FRAME if none was due to this id by this method; the
 * request is over otherwise, and *owner is NULL if it was abandoned. */
int inflight_take(struct inflight *inflight, uint32_t id, uint16_t method,
                  void **owner);

/* Ends any one request, for when no reply will come any more: its owner, NULL
 * if it was abandoned. False when there is none left. */
bool inflight_take_any(struct inflight *inflight, void **owner);

#endif
