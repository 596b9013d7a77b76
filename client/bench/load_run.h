/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* One run of a load, on threads of its own. */
#ifndef NB_BENCH_LOAD_RUN_H
#define NB_BENCH_LOAD_RUN_H

#include <stdint.h>

#include "client/bench/load_thread.h"

/* What happened since it was last told, about a second ago. */
struct load_moment {
    double elapsed_s; /* since the start, warm-up included */
    double since_s;
    struct load_tally now;
    struct load_tally since;
};

typedef void load_moment_fn(void *arg, const struct load_moment *moment);

/*
 * Connects, runs the load to its end and fills *result, which is large: on the
 * heap, please. `moment` is called from this thread; it may be NULL.
 * Errors of load_thread_create(), -errno. Errors of requests are in the result
 * and are none of the call.
 */
int load_run(const struct load_options *options, load_moment_fn *moment,
             void *arg, struct load_result *result, struct nb_errctx *err);

#endif
