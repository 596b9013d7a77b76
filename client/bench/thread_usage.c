/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/thread_usage.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* "RUNNING WAITING SLICES", the first two in ns. */
static double read_waiting_s(void)
{
    char text[128];
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0) {
        return 0;
    }
    text[n] = '\0';
    char *end;
    (void)strtoull(text, &end, 10);
    return (double)strtoull(end, NULL, 10) * 1e-9;
}

static double seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec * 1e-6;
}

struct thread_usage thread_usage_now(void)
{
    struct rusage usage;
    struct thread_usage now = {.waiting_s = read_waiting_s()};
    if (getrusage(RUSAGE_THREAD, &usage) == 0) {
        now.busy_s = seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
    }
    return now;
}
