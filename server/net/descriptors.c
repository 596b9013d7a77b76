/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/net/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

int descriptors_open_standard(void)
{
    int fd;
    do {
        /* Always the lowest that is free; kept over exec, as these are. */
        fd = open("/dev/null", O_RDWR); /* NOLINT(android-cloexec-open) */
        if (fd < 0) {
            return -errno;
        }
    } while (fd <= STDERR_FILENO);
    close(fd);
    return 0;
}

void descriptors_raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        /* Refused, the limit stays, and is lived with. */
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

uint64_t descriptors_left(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur == RLIM_INFINITY) {
        return UINT64_MAX;
    }
    /* The lowest that is free stands behind those in use. */
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return 0;
    }
    close(fd);
    return limit.rlim_cur - (uint64_t)fd;
}
