/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * How much of the time a processor is not there: this program does nothing but
 * read the clock, and counts what lies between two readings where that is over
 * 50 us. No server's p99 is better than a machine that stalls for 1 % of it.
 *     taskset -c N host_stalls [SECONDS, 5]
 * prints the share of the time in % and the longest stall in ms.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STALL_NS 50000u

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 5;
    if (!(seconds > 0 && seconds <= 3600)) {
        fprintf(stderr, "host_stalls: seconds from 0 to 3600\n");
        return 2;
    }
    uint64_t from = now_ns();
    uint64_t until = from + (uint64_t)(seconds * 1e9);
    uint64_t stalled = 0;
    uint64_t longest = 0;
    uint64_t last = from;
    while (last < until) {
        uint64_t now = now_ns();
        uint64_t gap = now - last;
        stalled += gap > STALL_NS ? gap : 0;
        longest = gap > longest ? gap : longest;
        last = now;
    }
    printf("%.2f %.1f\n", 100 * (double)stalled / (double)(last - from),
           (double)longest * 1e-6);
    return fflush(stdout) == 0 ? 0 : 1;
}
