/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/bench/timing.h"

#include <stdlib.h>
#include <time.h>

uint64_t timing_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void timing_add(struct timing *timing, uint64_t start_ns, size_t n)
{
    double ns = (double)(timing_now_ns() - start_ns);
    if (timing->n < TIMING_ROUNDS_MAX) {
        timing->ns[timing->n++] = ns / (double)n;
    }
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void sort(struct timing *timing)
{
    qsort(timing->ns, timing->n, sizeof(timing->ns[0]), compare_doubles);
}

double timing_median(struct timing *timing)
{
    sort(timing);
    return timing->n > 0 ? timing->ns[timing->n / 2] : 0;
}

double timing_spread(struct timing *timing)
{
    sort(timing);
    return timing->n > 0
               ? timing->ns[timing->n * 3 / 4] - timing->ns[timing->n / 4]
               : 0;
}
