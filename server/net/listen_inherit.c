/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/net/listen_inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_DESCRIPTOR 3
#define DESCRIPTORS_MAX  1024ul

/* 0 for what is not there, or no number. */
static unsigned long environment_number(const char *name)
{
    const char *text = getenv(name); /* NOLINT(concurrency-mt-unsafe): nothing
                                        of the process changes it */
    char *end;
    if (text == NULL || *text < '0' || *text > '9') {
        return 0;
    }
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    return errno == 0 && *end == '\0' ? number : 0;
}

static unsigned long n_given(void)
{
    unsigned long n = environment_number("LISTEN_FDS");
    bool ours = environment_number("LISTEN_PID") == (unsigned long)getpid();
    return ours && n <= DESCRIPTORS_MAX ? n : 0;
}

static int option_of(int fd, int name)
{
    int value = 0;
    socklen_t bytes = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &bytes) == 0 ? value : -1;
}

static bool is_listening(int fd, bool *is_unix)
{
    int domain = option_of(fd, SO_DOMAIN);
    *is_unix = domain == AF_UNIX;
    return option_of(fd, SO_TYPE) == SOCK_STREAM &&
           option_of(fd, SO_ACCEPTCONN) == 1 &&
           (domain == AF_UNIX || domain == AF_INET || domain == AF_INET6);
}

/* The first is the one given, the others are its copies. */
static int duplicate(int fd, unsigned n, int *fds)
{
    fds[0] = fd;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
        return -errno;
    }
    for (unsigned i = 1; i < n; i++) {
        fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR);
        if (fds[i] < 0) {
            int rv = -errno;
            while (--i > 0) {
                close(fds[i]);
            }
            return rv;
        }
    }
    return 0;
}

int listen_inherit(unsigned index, unsigned n, int *fds, bool *is_unix,
                   struct nb_errctx *err)
{
    unsigned long given = n_given();
    int fd = FIRST_DESCRIPTOR + (int)index;
    if (index >= given) {
        return nb_fail(err, NB_ERR_NOT_FOUND,
                       "--listen systemd: given %u times, but %lu sockets were "
                       "passed (LISTEN_FDS, LISTEN_PID)",
                       index + 1, given);
    }
    if (!is_listening(fd, is_unix)) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "--listen systemd: descriptor %d is not a stream socket "
                       "that listens",
                       fd);
    }
    int rv = duplicate(fd, n, fds);
    if (rv != 0) {
        return nb_fail(err, rv, "--listen systemd: descriptor %d: %s", fd,
                       nb_strerror(rv));
    }
    return 0;
}
