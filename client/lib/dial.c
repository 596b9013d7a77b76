/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/deadline.h"

#define UNIX_PREFIX "unix:"

static bool port_is_valid(const char *port)
{
    uint32_t value = 0;
    size_t n = strlen(port);
    if (n == 0 || n >= DIAL_PORT_BYTES) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (port[i] < '0' || port[i] > '9') {
            return false;
        }
        value = value * 10 + (uint32_t)(port[i] - '0');
    }
    return value >= 1 && value <= 65535;
}

int dial_split(const char *address, char host[DIAL_HOST_BYTES],
               char port[DIAL_PORT_BYTES], struct nb_errctx *err)
{
    const char *begin = address;
    const char *end = strrchr(address, ':');
    if (end == NULL) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%.128s: not HOST:PORT, [IPV6]:PORT or unix:PATH",
                       address);
    }
    const char *digits = end + 1;
    if (!port_is_valid(digits)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%.128s: the port must be a number from 1 to 65535",
                       address);
    }
    if (*begin == '[') {
        begin++;
        end--;
        if (end <= begin || *end != ']') {
            return nb_fail(err, NB_ERR_INVALID,
                           "%.128s: '[' without ']' before the port", address);
        }
    } else if (memchr(begin, ':', (size_t)(end - begin)) != NULL) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%.128s: an IPv6 address is written [IPV6]:PORT",
                       address);
    }
    size_t n = (size_t)(end - begin);
    if (n == 0 || n >= DIAL_HOST_BYTES) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%.128s: the host must have 1 to %d characters", address,
                       DIAL_HOST_BYTES - 1);
    }
    memcpy(host, begin, n);
    host[n] = '\0';
    memcpy(port, digits, strlen(digits) + 1);
    return 0;
}

int dial_begin(const struct sockaddr *to, socklen_t to_bytes, int *fd)
{
    int s =
        socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0) {
        return -errno;
    }
    /* A request goes out in one gathered write: nothing to wait for. */
    int on = 1;
    if (to->sa_family != AF_UNIX) {
        (void)setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    /* A Unix socket says EAGAIN where its backlog is full: not in progress. */
    if (connect(s, to, to_bytes) != 0 && errno != EINPROGRESS &&
        errno != EINTR) {
        int rv = -errno;
        close(s);
        return rv;
    }
    *fd = s;
    return 0;
}

int dial_outcome(int fd)
{
    int error = 0;
    socklen_t bytes = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0) {
        return -errno;
    }
    return -error;
}

static int connect_new(const struct sockaddr *to, socklen_t to_bytes,
                       uint64_t deadline, int *fd)
{
    int s = -1;
    int rv = dial_begin(to, to_bytes, &s);
    if (rv != 0) {
        return rv;
    }
    int events = deadline_poll(s, POLLOUT, deadline);
    rv = events < 0 ? events : dial_outcome(s);
    if (rv != 0) {
        close(s);
        return rv;
    }
    *fd = s;
    return 0;
}

bool dial_is_unix(const char *address)
{
    return strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
}

int dial_unix(const char *address, struct sockaddr_un *to,
              struct nb_errctx *err)
{
    const char *path = address + strlen(UNIX_PREFIX);
    size_t n = strlen(path);
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (n == 0 || n >= sizeof(to->sun_path)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%.128s: a socket's path has 1 to %zu bytes", address,
                       sizeof(to->sun_path) - 1);
    }
    memcpy(to->sun_path, path, n);
    return 0;
}

static int connect_unix(const char *address, uint64_t deadline, int *fd,
                        struct nb_errctx *err)
{
    struct sockaddr_un to;
    int rv = dial_unix(address, &to, err);
    if (rv != 0) {
        return rv;
    }
    rv = connect_new((const struct sockaddr *)&to, sizeof(to), deadline, fd);
    if (rv != 0) {
        return nb_fail(err, rv, "%s: cannot connect: %s", address,
                       nb_strerror(rv));
    }
    return 0;
}

static int resolve(const char *address, struct addrinfo **list,
                   struct nb_errctx *err)
{
    char host[DIAL_HOST_BYTES];
    char port[DIAL_PORT_BYTES];
    int rv = dial_split(address, host, port, err);
    if (rv != 0) {
        return rv;
    }
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICSERV,
    };
    int failure = getaddrinfo(host, port, &hints, list);
    if (failure == 0) {
        return 0;
    }
    rv = failure == EAI_MEMORY   ? NB_ERR_NOMEM
         : failure == EAI_SYSTEM ? -errno
                                 : NB_ERR_INVALID;
    return nb_fail(err, rv, "%.128s: cannot find the host: %s", address,
                   gai_strerror(failure));
}

static int connect_tcp(const char *address, uint64_t deadline, int *fd,
                       struct nb_errctx *err)
{
    struct addrinfo *list = NULL;
    int rv = resolve(address, &list, err);
    if (rv != 0) {
        return rv;
    }
    uint32_t n_left = 0;
    for (const struct addrinfo *to = list; to != NULL; to = to->ai_next) {
        n_left++;
    }
    rv = NB_ERR_INVALID;
    for (const struct addrinfo *to = list; to != NULL && rv != 0;
         to = to->ai_next) {
        uint32_t share_ms = deadline_left_ms(deadline) / n_left--;
        rv = connect_new(to->ai_addr, to->ai_addrlen,
                         deadline_after_ms(share_ms), fd);
    }
    freeaddrinfo(list);
    if (rv != 0) {
        return nb_fail(err, rv, "%.128s: cannot connect: %s", address,
                       nb_strerror(rv));
    }
    return 0;
}

int dial_connect(const char *address, uint32_t timeout_ms, int *fd,
                 struct nb_errctx *err)
{
    uint64_t deadline = deadline_after_ms(timeout_ms);
    if (dial_is_unix(address)) {
        return connect_unix(address, deadline, fd, err);
    }
    return connect_tcp(address, deadline, fd, err);
}
