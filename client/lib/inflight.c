/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/inflight.h"

#include <stddef.h>

static struct inflight_slot *slot_of(struct inflight *inflight, uint32_t id)
{
    struct inflight_slot *slot = &inflight->slots[id % INFLIGHT_MAX];
    return id != 0 && slot->id == id ? slot : NULL;
}

int inflight_add(struct inflight *inflight, uint16_t method, uint32_t *id)
{
    uint32_t next = inflight->last_id + 1;
    if (next == 0) { /* 0 is no request's id */
        next = 1;
    }
    struct inflight_slot *slot = &inflight->slots[next % INFLIGHT_MAX];
    if (slot->id != 0) {
        return NB_ERR_TOO_LARGE;
    }
    *slot = (struct inflight_slot){.id = next, .method = method};
    inflight->last_id = next;
    *id = next;
    return 0;
}

void inflight_abandon(struct inflight *inflight, uint32_t id)
{
    struct inflight_slot *slot = slot_of(inflight, id);
    if (slot != NULL) {
        slot->abandoned = true;
    }
}

void inflight_cancel(struct inflight *inflight, uint32_t id)
{
    struct inflight_slot *slot = slot_of(inflight, id);
    if (slot != NULL) {
        slot->id = 0;
    }
}

int inflight_take(struct inflight *inflight, uint32_t id, uint16_t method,
                  bool *abandoned)
{
    struct inflight_slot *slot = slot_of(inflight, id);
    if (slot == NULL || slot->method != method) {
        return NB_ERR_FRAME;
    }
    *abandoned = slot->abandoned;
    slot->id = 0;
    return 0;
}
