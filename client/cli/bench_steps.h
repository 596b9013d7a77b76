/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* One load after another: a single one, a ramp, or a search for the highest
 * rate that an objective allows. */
#ifndef NB_CLI_BENCH_STEPS_H
#define NB_CLI_BENCH_STEPS_H

#include "client/cli/bench_session.h"
#include "client/cli/rate_search.h"

#define BENCH_STEPS_MAX 64

struct bench_step {
    double offered;            /* requests/s; 0: closed loop */
    enum rate_verdict verdict; /* on the objective, if there is one */
    struct load_result *result;
};

struct bench_steps {
    struct bench_step steps[BENCH_STEPS_MAX]; /* in the order they were run */
    size_t n;
    double highest;      /* rate that met the objective; 0: none did */
    bool client_limited; /* above that, it was the client that could not */
};

/* Runs them. The caller ends *steps with bench_steps_fini(), also on an error:
 * those of load_run(). */
int bench_steps_run(struct bench_session *session, struct bench_steps *steps,
                    struct nb_errctx *err);
void bench_steps_fini(struct bench_steps *steps);

/* Why the client, rather than the server, may have made the figures; NULL: it
 * did not. */
const char *bench_step_doubt(const struct bench_step *step);

/* Whether all but 1 - slo_share of the requests had their replies within
 * slo_ns. A reply that did not come is held against the server only where the
 * client is in no doubt. */
enum rate_verdict bench_step_judge(const struct bench_step *step,
                                   double slo_share, uint64_t slo_ns);

#endif
