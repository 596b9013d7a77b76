/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/address_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static int write_lines(const char *path,
                       const char (*addresses)[LISTEN_ADDRESS_TEXT], size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return -errno;
    }
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < n; i++) {
        if (dprintf(fd, "%s\n", addresses[i]) < 0) {
            rv = -errno;
        }
    }
    if (close(fd) != 0 && rv == 0) {
        rv = -errno;
    }
    return rv;
}

int address_file_write(const char *path,
                       const char (*addresses)[LISTEN_ADDRESS_TEXT], size_t n,
                       struct nb_errctx *err)
{
    char temporary[PATH_MAX];
    int bytes = snprintf(temporary, sizeof(temporary), "%s.%ld.tmp", path,
                         (long)getpid());
    int rv =
        bytes < 0 || (size_t)bytes >= sizeof(temporary) ? -ENAMETOOLONG : 0;
    if (rv == 0) {
        rv = write_lines(temporary, addresses, n);
    }
    if (rv == 0 && rename(temporary, path) != 0) {
        rv = -errno;
        unlink(temporary);
    }
    if (rv != 0) {
        return nb_fail(err, rv, "cannot write %.200s: %s", path,
                       nb_strerror(rv));
    }
    return 0;
}
