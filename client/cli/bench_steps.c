/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/bench_steps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/cli/cli_text.h"

#define RATE_FIRST   1000.0 /* of a search, where none is given */
#define UNSENT_SHARE 0.01

/* The client has no time left over, or did not get it. */
#define BUSY_SHARE    0.9
#define WAITING_SHARE 0.1
#define HELD_UP_SHARE 0.01
#define LATE_SHARE    0.01

const char *bench_step_doubt(const struct bench_step *step)
{
    const struct load_result *result = step->result;
    if (result->busiest_share > BUSY_SHARE) {
        return "a thread of the client was busy all the time: the client "
               "limited the result (try --threads)";
    }
    if (result->waiting_share > WAITING_SHARE) {
        return "the client waited for a core while others had it: latencies "
               "and rates may be its own";
    }
    if (result->held_up_share > HELD_UP_SHARE) {
        return "the client stood still for a while: latencies, timeouts and "
               "rates may be its own";
    }
    double late = (double)(result->n_late - result->n_held);
    if (late > LATE_SHARE * (double)result->n_requests) {
        return "the client sent many requests late of itself: it, not the "
               "server, made part of the latency";
    }
    return NULL;
}

/* ---- the live line ---------------------------------------------------- */

static void show_moment(void *arg, const struct load_moment *moment)
{
    const double *offered = arg;
    const struct load_tally *since = &moment->since;
    uint64_t n = since->n_replies + since->n_errors;
    double mean_ms = n > 0 ? (double)since->latency_ns / (double)n * 1e-6 : 0;
    char of[104] = "";
    if (*offered > 0) {
        snprintf(of, sizeof(of), " of %s",
                 text_count((uint64_t)(*offered + 0.5)).text);
    }
    fprintf(
        stderr, "\r\033[K%.0f s: %s%s requests/s, %.3g ms on average, %s",
        moment->elapsed_s,
        text_count((uint64_t)((double)since->n_replies / moment->since_s)).text,
        of, mean_ms, text_counted(moment->now.n_errors, "error").text);
}

/* ---- one load --------------------------------------------------------- */

/* A rate that the server does not carry meets nothing: what is not sent in a
 * short run would be late in a long one. Where the client may have been what
 * did not carry it, that tells nothing of the server. */
enum rate_verdict bench_step_judge(const struct bench_step *step,
                                   double slo_share, uint64_t slo_ns)
{
    const struct load_result *result = step->result;
    uint64_t errors = load_result_errors(result);
    if (errors > result->errors[LOAD_ERROR_TIMEOUT] +
                     result->errors[LOAD_ERROR_CONNECTION]) {
        return RATE_MISSED; /* the server said so itself */
    }
    if (errors == 0 && result->n_requests > 0 &&
        (double)result->n_unsent <= UNSENT_SHARE * (double)result->n_requests &&
        histogram_at(&result->latency, slo_share) <= slo_ns) {
        return RATE_HELD;
    }
    return bench_step_doubt(step) != NULL ? RATE_UNTRIED : RATE_MISSED;
}

static int run_step(struct bench_session *session, double rate,
                    struct bench_steps *steps, struct nb_errctx *err)
{
    struct bench_step *step = &steps->steps[steps->n];
    *step = (struct bench_step){.offered = rate,
                                .verdict = RATE_MISSED,
                                .result = calloc(1, sizeof(*step->result))};
    if (step->result == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "the result of a load");
    }
    steps->n++;
    session->load.rate = rate;
    bool live = isatty(STDERR_FILENO) != 0;
    int rv = load_run(&session->load, live ? show_moment : NULL, &rate,
                      step->result, err);
    if (live) {
        fputs("\r\033[K", stderr);
    }
    bool ended = __atomic_load_n(&session->stop, __ATOMIC_RELAXED);
    if (rv == 0 && session->args->slo_share > 0 && !ended) {
        step->verdict = bench_step_judge(step, session->args->slo_share,
                                         session->args->slo_ns);
    }
    return rv;
}

static bool may_go_on(const struct bench_session *session,
                      const struct bench_steps *steps)
{
    return steps->n < BENCH_STEPS_MAX &&
           !__atomic_load_n(&session->stop, __ATOMIC_RELAXED);
}

/* ---- several ---------------------------------------------------------- */

static int run_ramp(struct bench_session *session, struct bench_steps *steps,
                    struct nb_errctx *err)
{
    const struct bench_args *args = session->args;
    double ratio = args->ramp_to / args->ramp_from;
    int rv = 0;
    for (uint64_t i = 0;
         rv == 0 && i < args->ramp_steps && may_go_on(session, steps); i++) {
        double share = (double)i / (double)(args->ramp_steps - 1);
        rv = run_step(session, args->ramp_from * pow(ratio, share), steps, err);
    }
    return rv;
}

/* An error of a request counts as missing the objective. */
static int run_search(struct bench_session *session, struct bench_steps *steps,
                      struct nb_errctx *err)
{
    struct rate_search search;
    double least = bench_slo_least_rate(session->args);
    double first = RATE_FIRST > least ? RATE_FIRST : least;
    rate_search_begin(&search,
                      session->args->rate > 0 ? session->args->rate : first);
    bool more = true;
    while (more && may_go_on(session, steps) && search.rate >= least &&
           search.rate <= BENCH_RATE_MAX) {
        int rv = run_step(session, search.rate, steps, err);
        if (rv != 0) {
            return rv;
        }
        more = rate_search_tell(&search, steps->steps[steps->n - 1].verdict);
    }
    steps->highest = search.held;
    steps->client_limited = search.of_client;
    return 0;
}

int bench_steps_run(struct bench_session *session, struct bench_steps *steps,
                    struct nb_errctx *err)
{
    *steps = (struct bench_steps){0};
    if (session->args->slo_share > 0) {
        return run_search(session, steps, err);
    }
    if (session->args->ramp_steps > 0) {
        return run_ramp(session, steps, err);
    }
    return run_step(session, session->args->rate, steps, err);
}

void bench_steps_fini(struct bench_steps *steps)
{
    for (size_t i = 0; i < steps->n; i++) {
        free(steps->steps[i].result);
    }
    *steps = (struct bench_steps){0};
}
