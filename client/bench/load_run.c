/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/load_run.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define START_IN_NS 10000000u /* threads are ready by then */

struct load_job {
    pthread_t id;
    struct load_thread *thread;
    struct load_crew *crew;
};

struct load_crew {
    const struct load_options *options;
    struct load_job *jobs;
    unsigned n_created; /* load_threads */
    unsigned n_started; /* threads */
    uint64_t start;
    pthread_mutex_t lock;
    pthread_cond_t done;
    unsigned n_done; /* under the lock */
};

static void *work(void *arg)
{
    struct load_job *job = arg;
    load_thread_run(job->thread, job->crew->start);
    pthread_mutex_lock(&job->crew->lock);
    job->crew->n_done++;
    pthread_cond_signal(&job->crew->done);
    pthread_mutex_unlock(&job->crew->lock);
    return NULL;
}

static int create_threads(struct load_crew *crew, struct nb_errctx *err)
{
    unsigned n = crew->options->threads;
    crew->jobs = calloc(n, sizeof(*crew->jobs));
    if (crew->jobs == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%u threads", n);
    }
    for (unsigned i = 0; i < n; i++) {
        crew->jobs[i].crew = crew;
        int rv =
            load_thread_create(crew->options, i, &crew->jobs[i].thread, err);
        if (rv != 0) {
            return rv;
        }
        crew->n_created++;
    }
    return 0;
}

static int start_threads(struct load_crew *crew, struct nb_errctx *err)
{
    crew->start = load_now() + START_IN_NS;
    for (unsigned i = 0; i < crew->n_created; i++) {
        int failure =
            pthread_create(&crew->jobs[i].id, NULL, work, &crew->jobs[i]);
        if (failure != 0) {
            for (unsigned j = 0; j < i; j++) {
                load_thread_end(crew->jobs[j].thread);
            }
            return nb_fail(err, -failure, "cannot start a thread: %s",
                           nb_strerror(-failure));
        }
        crew->n_started++;
    }
    return 0;
}

static struct load_tally sum_tallies(const struct load_crew *crew)
{
    struct load_tally sum = {0};
    for (unsigned i = 0; i < crew->n_started; i++) {
        struct load_tally one = load_thread_tally(crew->jobs[i].thread);
        sum.n_replies += one.n_replies;
        sum.n_errors += one.n_errors;
        sum.latency_ns += one.latency_ns;
    }
    return sum;
}

/* Under the lock. True after a second; false once all are done. */
static bool wait_second(struct load_crew *crew)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    int rv = 0;
    while (crew->n_done < crew->n_started && rv == 0) {
        rv = pthread_cond_timedwait(&crew->done, &crew->lock, &until);
    }
    return crew->n_done < crew->n_started;
}

static void watch_threads(struct load_crew *crew, load_moment_fn *tell,
                          void *arg)
{
    struct load_tally before = {0};
    uint64_t then = crew->start;
    pthread_mutex_lock(&crew->lock);
    while (wait_second(crew)) {
        uint64_t at = load_now();
        struct load_moment moment = {
            .elapsed_s = (double)(at - crew->start) * 1e-9,
            .since_s = (double)(at - then) * 1e-9,
            .now = sum_tallies(crew),
        };
        moment.since = (struct load_tally){
            .n_replies = moment.now.n_replies - before.n_replies,
            .n_errors = moment.now.n_errors - before.n_errors,
            .latency_ns = moment.now.latency_ns - before.latency_ns,
        };
        before = moment.now;
        then = at;
        if (tell != NULL) {
            tell(arg, &moment);
        }
    }
    pthread_mutex_unlock(&crew->lock);
}

static void end_threads(struct load_crew *crew, struct load_result *result)
{
    for (unsigned i = 0; i < crew->n_started; i++) {
        pthread_join(crew->jobs[i].id, NULL);
        load_result_merge(result, load_thread_result(crew->jobs[i].thread));
    }
    for (unsigned i = 0; i < crew->n_created; i++) {
        load_thread_destroy(crew->jobs[i].thread);
    }
    free(crew->jobs);
}

int load_run(const struct load_options *options, load_moment_fn *moment,
             void *arg, struct load_result *result, struct nb_errctx *err)
{
    struct load_crew crew = {.options = options};
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&crew.done, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&crew.lock, NULL);
    *result = (struct load_result){0};
    int rv = create_threads(&crew, err);
    if (rv == 0) {
        rv = start_threads(&crew, err);
        watch_threads(&crew, moment, arg);
    }
    end_threads(&crew, result);
    pthread_cond_destroy(&crew.done);
    pthread_mutex_destroy(&crew.lock);
    return rv;
}
