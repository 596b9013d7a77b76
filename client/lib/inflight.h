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
        bool abandoned;  /* nobody waits: the reply is dropped */
    } slots[INFLIGHT_MAX];
};

/* Takes the next id. NB_ERR_TOO_LARGE: the one INFLIGHT_MAX before it is still
 * unanswered. */
int inflight_add(struct inflight *inflight, uint16_t method, uint32_t *id);

/* Nobody waits for the reply any more; it may still come. */
void inflight_abandon(struct inflight *inflight, uint32_t id);

/* Nothing of the request was sent: no reply will come. */
void inflight_cancel(struct inflight *inflight, uint32_t id);

/* A reply has come. NB_ERR_FRAME if none was due to this id by this method; the
 * request is over otherwise. */
int inflight_take(struct inflight *inflight, uint32_t id, uint16_t method,
                  bool *abandoned);

#endif
