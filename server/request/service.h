/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What answering requests takes, but sockets: one for each loop, used by its
 * thread alone. */
#ifndef NB_SERVER_SERVICE_H
#define NB_SERVER_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/arena.h"
#include "server/request/buf_pool.h"
#include "server/models/catalog.h"
#include "server/stats/counters.h"
#include "server/log/log.h"
#include "server/settings/options.h"

/* Shared by all loops. The counters are each loop's own. */
struct service_common {
    const struct options *options;
    struct counters *counters; /* one for each loop */
    struct buf_budget *budget; /* of the buffers of all loops */
    unsigned n_loops;
    uint64_t started_ns;
    uint64_t started_unix_ms;
    _Atomic bool draining; /* no new connections, and then the end */
};

struct call;
struct plans;
struct session;

struct service {
    const struct service_common *common;
    const struct options *options; /* that of common */
    struct counters *counters;     /* this loop's */
    unsigned loop;                 /* its index */
    struct catalog *catalog;       /* a reference; swapped between requests */
    struct arena *arena;           /* of the request being answered */
    struct arena arenas[2];        /* one, and that of the call in pieces */
    struct plans *plans;           /* of requests that come again */
    struct buf_pool pool;
    uint8_t *scratch; /* where sockets are read to */
    uint64_t (*now_ns)(void);
    uint64_t turn_ns; /* when the loop's turn began; 0: not yet */
    bool takes_turns; /* of large requests, one a turn; set by the loop */
    bool large_done;  /* one was answered in this turn */
    struct session *from_line; /* is being answered, up to its first frame */
    struct uv_loop_s *uv;      /* reads cold pages; NULL: nobody does */
    struct cold_pages *cold;   /* for cold_read_find() alone; NULL: not yet */
    void (*warm)(struct session *session); /* its pages are there */
    uint64_t probe_until_ns;   /* look for cold pages; cold_read.h */
    uint64_t major_faults;     /* of the loop's thread, as of the last look */
    struct call *large;        /* room for one that is answered in pieces */
    struct session *in_pieces; /* whose it is; NULL: nobody's */
    struct session *waiting;   /* with a large request, the first come first */
    uint64_t clock_ns;         /* when the clock was last looked at */
    uint64_t spent;            /* since then, in units of work.h */
    struct log_limit slow_log;
    uint32_t answered[N_METHODS]; /* requests whose latency is not counted */
};

#define SERVICE_SCRATCH_BYTES ((size_t)256 << 10)

/* Takes a reference to `catalog`; `now_ns` is a monotonic clock. NB_ERR_NOMEM:
 * nothing is held. */
int service_init(struct service *service, const struct service_common *common,
                 unsigned loop, struct catalog *catalog,
                 uint64_t (*now_ns)(void));

/* When the loop came back from waiting: what it reads now had arrived by then,
 * or nearly. One look at the clock a turn. */
uint64_t service_turn_ns(struct service *service);

/* The time, for deadlines, less what small requests took since the clock was
 * last looked at, a fraction of a ms: a look is a good part of one. */
uint64_t service_recent_ns(struct service *service);

/* So much was done, or is about to be; SERVICE_LONG: nobody knows how much. */
#define SERVICE_LONG UINT64_MAX
void service_spend(struct service *service, uint64_t units);

/* Since when the loop has not waited, in ms, as far as it is known without a
 * look at the clock: so long has what is read now been waiting. */
uint64_t service_behind_ms(const struct service *service);

/* The loop is about to wait again. */
void service_end_turn(struct service *service);

/* Counts the latency of the requests answered since the last call, which
 * arrived together and are sent together. */
void service_count_latency(struct service *service, uint64_t arrived_ns);

/* Between requests: answers from `catalog` from now on, whose reference it
 * takes over, and gives up the one before. */
void service_switch(struct service *service, struct catalog *catalog);

/* The arena in use stays with a call; the other one is taken. And back. */
void service_lend_arena(struct service *service);
void service_return_arena(struct service *service, struct arena *arena);

void service_fini(struct service *service);

#endif
