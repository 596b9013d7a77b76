/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/service.h"

#include <stdlib.h>

#include "server/request/call.h"
#include "server/request/cold_read.h"
#include "server/request/plans.h"
#include "server/request/status_fill.h"

/* Buffers a loop keeps for reuse: some hundred of the largest replies of the
 * published profiles, and never most of what there is. */
#define KEEP_BYTES UINT64_C(67108864)

/* The clock is looked at again after so much of small requests, 100 us or so
 * where rows come from memory: deadlines are told in ms. */
#define SPENT_MAX     UINT64_C(2048)
#define REQUEST_UNITS 16u /* of one that has next to no ids */

static size_t keep_bytes(const struct service_common *common)
{
    uint64_t share = common->budget->max / 4 / common->n_loops;
    return share < KEEP_BYTES ? share : KEEP_BYTES;
}

/*
 * What decoding a request takes at most. protobuf-c turns one byte of packed
 * lengths into four, the rest of a body grows less; a feature is a message of
 * its own, two bytes of body at least, with a plan beside it. The limits on
 * features, ids and bags hold before any of it is allocated. Fields sent one
 * by one where they could be packed also find room, up to this bound. Status
 * builds its reply there, however small requests may be.
 */
static size_t arena_bytes(const struct service_common *common,
                          const struct catalog *catalog)
{
    const struct options *options = common->options;
    return 65536 + 5 * options->max_frame_bytes + 512 * options->max_features +
           status_arena_bytes(common, catalog);
}

/* Without the room, a status of all models may be refused; nothing else takes
 * it. */
static void fit_arena(struct arena *arena, size_t bytes)
{
    if (bytes > arena->capacity) {
        (void)arena_resize(arena, bytes);
    }
}

void service_lend_arena(struct service *service)
{
    size_t bytes = service->arena->capacity;
    service->arena = service->arena == &service->arenas[0]
                         ? &service->arenas[1]
                         : &service->arenas[0];
    fit_arena(service->arena, bytes);
}

void service_return_arena(struct service *service, struct arena *arena)
{
    arena_reset(arena);
    fit_arena(arena, service->arena->capacity);
}

void service_switch(struct service *service, struct catalog *catalog)
{
    fit_arena(service->arena, arena_bytes(service->common, catalog));
    struct catalog *old = service->catalog;
    if (catalog_brings_unread(catalog, old)) {
        service->probe_until_ns = service->now_ns() + COLD_PROBE_NS;
    }
    service->catalog = catalog;
    plans_forget(service->plans);
    catalog_unref(old);
}

int service_init(struct service *service, const struct service_common *common,
                 unsigned loop, struct catalog *catalog,
                 uint64_t (*now_ns)(void))
{
    *service = (struct service){
        .common = common,
        .options = common->options,
        .counters = &common->counters[loop],
        .loop = loop,
        .now_ns = now_ns,
        .scratch = malloc(SERVICE_SCRATCH_BYTES),
    };
    service->large = malloc(sizeof(*service->large));
    service->plans = plans_create();
    int rv = service->scratch != NULL && service->large != NULL &&
                     service->plans != NULL
                 ? 0
                 : NB_ERR_NOMEM;
    size_t bytes = arena_bytes(common, catalog);
    if (rv == 0) {
        rv = arena_init(&service->arenas[0], bytes);
    }
    if (rv != 0) {
        goto err_free;
    }
    rv = arena_init(&service->arenas[1], bytes);
    if (rv != 0) {
        goto err_arena;
    }
    service->arena = &service->arenas[0];
    buf_pool_init(&service->pool, common->budget, keep_bytes(common));
    service->catalog = catalog_ref(catalog);
    return 0;

err_arena:
    arena_fini(&service->arenas[0]);
err_free:
    plans_destroy(service->plans);
    free(service->large);
    free(service->scratch);
    return rv;
}

void service_fini(struct service *service)
{
    catalog_unref(service->catalog);
    buf_pool_fini(&service->pool);
    arena_fini(&service->arenas[0]);
    arena_fini(&service->arenas[1]);
    plans_destroy(service->plans);
    free(service->large);
    free(service->scratch);
    free(service->cold);
}

uint64_t service_turn_ns(struct service *service)
{
    if (service->turn_ns == 0) {
        service->turn_ns = service->now_ns();
    }
    return service->turn_ns;
}

uint64_t service_recent_ns(struct service *service)
{
    if (service->spent >= SPENT_MAX) {
        service->clock_ns = service->now_ns();
        service->spent = 0;
    }
    return service->clock_ns;
}

void service_spend(struct service *service, uint64_t units)
{
    bool past = units >= SPENT_MAX || service->spent >= SPENT_MAX;
    service->spent = past ? SPENT_MAX : service->spent + units + REQUEST_UNITS;
}

uint64_t service_behind_ms(const struct service *service)
{
    if (service->turn_ns == 0 || service->clock_ns <= service->turn_ns) {
        return 0;
    }
    return (service->clock_ns - service->turn_ns) / 1000000;
}

void service_end_turn(struct service *service)
{
    service->large_done = false;
    if (service->turn_ns != 0) {
        uint64_t turn_ns = service->now_ns() - service->turn_ns;
        durations_add(&service->counters->turns, turn_ns, 1);
        cold_read_check_turn(service, turn_ns);
        service->turn_ns = 0;
    }
}

void service_count_latency(struct service *service, uint64_t arrived_ns)
{
    service->clock_ns = service->now_ns();
    uint64_t took_ns = service->clock_ns - arrived_ns;
    for (size_t i = 0; i < N_METHODS; i++) {
        if (service->answered[i] != 0) {
            durations_add(&service->counters->methods[i].latency, took_ns,
                          service->answered[i]);
            service->answered[i] = 0;
        }
    }
}
