/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct parallel {
    atomic_size_t next;
    size_t n;
    void (*job)(void *arg, size_t i);
    void *arg;
};

unsigned parallel_threads(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) < 1) {
        return 1;
    }
    unsigned n = (unsigned)CPU_COUNT(&set);
    return n < PARALLEL_THREADS_MAX ? n : PARALLEL_THREADS_MAX;
}

static void *run_jobs(void *arg)
{
    struct parallel *parallel = arg;
    size_t i;
    while ((i = atomic_fetch_add(&parallel->next, 1)) < parallel->n) {
        parallel->job(parallel->arg, i);
    }
    return NULL;
}

void parallel_run(unsigned threads, size_t n, void (*job)(void *arg, size_t i),
                  void *arg)
{
    struct parallel parallel = {.n = n, .job = job, .arg = arg};
    pthread_t started[PARALLEL_THREADS_MAX];
    unsigned n_started = 0;
    while (n_started + 1 < threads && n_started + 1 < n &&
           n_started < PARALLEL_THREADS_MAX &&
           pthread_create(&started[n_started], NULL, run_jobs, &parallel) ==
               0) {
        n_started++;
    }
    run_jobs(&parallel);
    while (n_started > 0) {
        pthread_join(started[--n_started], NULL);
    }
}
