/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A thread of the load: its connections, its requests, its schedule. */
#ifndef NB_BENCH_LOAD_THREAD_H
#define NB_BENCH_LOAD_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "client/bench/arrivals.h"
#include "client/bench/load_conn.h"
#include "client/bench/load_result.h"
#include "client/bench/reply_check.h"
#include "client/bench/workload.h"

/* The same for all threads; borrowed throughout. */
struct load_options {
    const char *address;
    const struct workload *workload;
    const struct request_set *sets; /* one a thread */
    struct reply_check *check;      /* NULL: values are not looked at */
    unsigned threads;
    uint32_t connections; /* of all threads, at least one each */
    uint32_t depth;       /* unanswered requests of a connection */
    double rate;          /* of all threads; 0: closed loop */
    enum arrival_kind arrivals;
    uint64_t seed;
    uint64_t warmup_ns;
    uint64_t duration_ns;
    uint32_t timeout_ms;
    const bool *stop; /* set by anybody: end early */
};

/* How far it is: written by the thread, read by others. */
struct load_tally {
    uint64_t n_replies;
    uint64_t n_errors;
    uint64_t latency_ns; /* sum */
};

struct load_thread;

/* Connects. The caller ends *thread with load_thread_destroy(). Errors of
 * load_conn_open(). */
int load_thread_create(const struct load_options *options, unsigned index,
                       struct load_thread **thread, struct nb_errctx *err);

/* Runs the load, beginning at `start_at` of load_now(), to its end. */
void load_thread_run(struct load_thread *thread, uint64_t start_at);

/* Ends it early, as *options->stop does; from any thread. */
void load_thread_end(struct load_thread *thread);

struct load_tally load_thread_tally(const struct load_thread *thread);

/* After it has run. */
const struct load_result *load_thread_result(const struct load_thread *thread);

void load_thread_destroy(struct load_thread *thread);

#endif
