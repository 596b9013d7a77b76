/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/inflight.h"

#include <stddef.h>

static struct inflight_slot *slot_of(struct inflight *inflight, uint32_t id)
{
    struct inflight_slot *slot = &inflight->slots[id % INFLIGHT_MAX];
    return id != 0 && slot->id == id ? slot : NULL;
}

static uint32_t next_id(const struct inflight *inflight)
{
    uint32_t next = inflight->last_id + 1;
    return next != 0 ? next : 1; /* 0 is no request's id */
}

bool inflight_is_full(const struct inflight *inflight)
{
    return inflight->slots[next_id(inflight) % INFLIGHT_MAX].id != 0;
}

int inflight_add(struct inflight *inflight, uint16_t method, void *owner,
                 uint32_t *id)
{
    if (inflight_is_full(inflight)) {
        return NB_ERR_TOO_LARGE;
    }
    uint32_t next = next_id(inflight);
    inflight->slots[next % INFLIGHT_MAX] =
        (struct inflight_slot){.id = next, .method = method, .owner = owner};
    inflight->last_id = next;
    *id = next;
    return 0;
}

void inflight_abandon(struct inflight *inflight, uint32_t id)
{
    struct inflight_slot *slot = slot_of(inflight, id);
    if (slot != NULL) {
        slot->owner = NULL;
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
                  void **owner)
{
    struct inflight_slot *slot = slot_of(inflight, id);
    if (slot == NULL || slot->method != method) {
        return NB_ERR_FRAME;
    }
    *owner = slot->owner;
    slot->id = 0;
    return 0;
}

bool inflight_take_any(struct inflight *inflight, void **owner)
{
    for (uint32_t i = 0; i < INFLIGHT_MAX; i++) {
        struct inflight_slot *slot = &inflight->slots[i];
        if (slot->id != 0) {
            *owner = slot->owner;
            slot->id = 0;
            return true;
        }
    }
    return false;
}
