/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What a loop has done. Each loop writes its own; anyone may sum them. */
#ifndef NB_SERVER_COUNTERS_H
#define NB_SERVER_COUNTERS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "server/stats/durations.h"

enum method_index {
#define METHOD(id, name, max_request_bytes) METHOD_##name,
#include "proto/methods.def"
#undef METHOD
    N_METHODS
};

/* COUNTER(name) */
#define COUNTER_MAP(COUNTER)                                                   \
    COUNTER(connections)          /* open now */                               \
    COUNTER(connections_accepted) /* since the start */                        \
    COUNTER(connections_refused)  /* over --max-connections */                 \
    COUNTER(bytes_received)                                                    \
    COUNTER(bytes_sent)                                                        \
    COUNTER(put_off)      /* times that requests waited for the disk */        \
    COUNTER(in_line)      /* large requests before their turn, now */          \
    COUNTER(in_pieces)    /* large ones that are begun, now */                 \
    COUNTER(reading)      /* requests that the disk is read for, now */        \
    COUNTER(unsent_bytes) /* of replies, now */                                \
    COUNTER(bad_frames)   /* connections closed for broken framing or timeouts \
                           */

/* Codes of answers: gRPC's, of which 0 is success. */
#define N_CODES 17

/* A cache line of another loop is never written to. */
struct counters {
    alignas(128) struct {
        _Atomic uint64_t requests;
        _Atomic uint64_t codes[N_CODES]; /* answered with each */
        struct durations latency;        /* from arrival to answered */
    } methods[N_METHODS];
#define COUNTER(name) _Atomic uint64_t name;
    COUNTER_MAP(COUNTER)
#undef COUNTER
    struct durations turns; /* of the loop, from waiting to waiting again */
};

/* A sum over loops. */
struct totals {
    struct {
        uint64_t requests;
        uint64_t codes[N_CODES];
        uint64_t errors;  /* all codes but 0 */
        uint64_t expired; /* of these, because their deadline had passed */
        struct duration_totals latency;
    } methods[N_METHODS];
#define COUNTER(name) uint64_t name;
    COUNTER_MAP(COUNTER)
#undef COUNTER
    struct duration_totals turns;
};

/* By any thread. */
static inline uint64_t counter_get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* By the one thread that writes this counter, so no locked instruction. One of
 * what is now goes down by -(uint64_t)n. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + n, memory_order_relaxed);
}

void counters_sum(const struct counters *counters, size_t n,
                  struct totals *totals);

#endif
