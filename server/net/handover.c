/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/net/handover.h"

#include <unistd.h>

#include "server/net/loop.h"

static bool put(struct handover *handover, const struct accepted *accepted)
{
    if (handover->n == HANDOVER_MAX) {
        return false;
    }
    handover->of[handover->n++] = *accepted;
    return true;
}

bool handover_take(struct handover *handover, struct accepted *accepted)
{
    if (handover->n == 0) {
        return false;
    }
    *accepted = handover->of[--handover->n];
    return true;
}

/* The loop that has fewest connections; of equal ones this. */
static struct loop *idlest(struct loop *loop)
{
    struct loop_common *common = loop->common;
    unsigned n = atomic_load_explicit(&common->n_loops, memory_order_acquire);
    struct loop *best = loop;
    uint64_t fewest = atomic_load_explicit(&loop->n_own, memory_order_relaxed);
    for (unsigned i = 0; i < n; i++) {
        uint64_t own =
            atomic_load_explicit(&common->loops[i].n_own, memory_order_relaxed);
        if (own < fewest) {
            best = &common->loops[i];
            fewest = own;
        }
    }
    return best;
}

static bool give(struct loop *to, const struct accepted *accepted)
{
    uv_mutex_lock(&to->lock);
    bool given = to->alive && atomic_load(&to->order) == LOOP_RUN &&
                 put(&to->given, accepted);
    if (given) {
        atomic_fetch_add_explicit(&to->n_own, 1, memory_order_relaxed);
        uv_async_send(&to->wake);
    }
    uv_mutex_unlock(&to->lock);
    return given;
}

bool handover_give(struct loop *loop, const struct accepted *accepted)
{
    if (accepted->n_before >= loop->common->max_conns) {
        return false;
    }
    struct loop *to = idlest(loop);
    return to != loop && give(to, accepted);
}

void handover_drop(struct loop *loop, const struct accepted *accepted)
{
    close(accepted->fd);
    atomic_fetch_sub_explicit(&loop->common->n_conns, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&loop->n_own, 1, memory_order_relaxed);
}
