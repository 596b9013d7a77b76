/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* CPU time of the calling thread, and its waits for a core. */
#ifndef NB_BENCH_THREAD_USAGE_H
#define NB_BENCH_THREAD_USAGE_H

struct thread_usage {
    double busy_s;
    double waiting_s; /* ready to run; 0 where the system does not tell */
};

struct thread_usage thread_usage_now(void);

#endif
