/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Independent jobs on several threads. */
#ifndef NB_STORAGE_PARALLEL_H
#define NB_STORAGE_PARALLEL_H

#include <stddef.h>

#define PARALLEL_THREADS_MAX 256u

/* One a processor that this process may use; at least 1, at most
 * PARALLEL_THREADS_MAX. */
unsigned parallel_threads(void);

/* Calls job(arg, i) for every i below n, on the calling thread and up to
 * threads - 1 more; on fewer if the system will not start them. Returns when
 * all are done. */
void parallel_run(unsigned threads, size_t n, void (*job)(void *arg, size_t i),
                  void *arg);

#endif
