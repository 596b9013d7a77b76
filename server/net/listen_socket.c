/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/net/listen_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 4096 /* the kernel lowers it to net.core.somaxconn */

static void close_all(int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        close(fds[i]);
    }
}

/* A bound socket, or -errno. */
static int bind_socket(const struct sockaddr *address, socklen_t bytes,
                       int reuse_port)
{
    const int one = 1;
    int fd = socket(address->sa_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if ((address->sa_family != AF_UNIX &&
         setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0) ||
        (reuse_port &&
         setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0) ||
        bind(fd, address, bytes) != 0) {
        int rv = -errno;
        close(fd);
        return rv;
    }
    return fd;
}

static int listen_on(int fd)
{
    return listen(fd, BACKLOG) == 0 ? 0 : -errno;
}

/* ---- TCP ------------------------------------------------------------- */

/* The first socket takes the port, alone: it shares it only once it listens,
 * so that of two who come at a time one finds it taken. */
static int open_first(const struct addrinfo *info)
{
    const int one = 1;
    int fd = bind_socket(info->ai_addr, info->ai_addrlen, 0);
    if (fd < 0) {
        return fd;
    }
    int rv = listen_on(fd);
    if (rv == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0) {
        rv = -errno;
    }
    if (rv != 0) {
        close(fd);
        return rv;
    }
    return fd;
}

static int open_tcp(const struct addrinfo *info, unsigned n, int *fds)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr *address = (struct sockaddr *)&storage;
    socklen_t bytes = sizeof(storage);
    int fd = open_first(info);
    if (fd < 0) {
        return fd;
    }
    fds[0] = fd;
    unsigned n_open = 1;
    /* With port 0 it has decided the port. */
    int rv = getsockname(fd, address, &bytes) == 0 ? 0 : -errno;
    while (rv == 0 && n_open < n) {
        fd = bind_socket(address, bytes, 1);
        if (fd < 0) {
            rv = fd;
        } else {
            fds[n_open++] = fd;
            rv = listen_on(fd);
        }
    }
    if (rv != 0) {
        close_all(fds, n_open);
    }
    return rv;
}

int listen_socket_open_found(const struct addrinfo *found, unsigned n, int *fds)
{
    int rv = -EADDRNOTAVAIL;
    for (; found != NULL && (rv == -EADDRNOTAVAIL || rv == -EAFNOSUPPORT);
         found = found->ai_next) {
        rv = open_tcp(found, n, fds);
    }
    return rv;
}

static int open_host(const struct listen_address *address, unsigned n, int *fds,
                     struct nb_errctx *err)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    struct addrinfo *found;
    int rv = getaddrinfo(address->host[0] != '\0' ? address->host : NULL,
                         address->port, &hints, &found);
    if (rv != 0) {
        return nb_fail(err, NB_ERR_NOT_FOUND, "cannot listen on %.180s:%s: %s",
                       address->host, address->port, gai_strerror(rv));
    }
    rv = listen_socket_open_found(found, n, fds);
    freeaddrinfo(found);
    if (rv != 0) {
        return nb_fail(err, rv, "cannot listen on %.180s:%s: %s", address->host,
                       address->port, nb_strerror(rv));
    }
    return 0;
}

/* ---- Unix ------------------------------------------------------------ */

/* Removes a socket file that a server left which did not stop in order: no
 * one answers there. */
static void remove_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
        errno == ECONNREFUSED) {
        unlink(address->sun_path);
    }
    close(fd);
}

static int open_unix(const struct sockaddr_un *address, unsigned n, int *fds)
{
    remove_stale(address);
    int fd = bind_socket((const struct sockaddr *)address, sizeof(*address), 0);
    if (fd < 0) {
        return fd;
    }
    fds[0] = fd;
    unsigned n_open = 1;
    int rv = listen_on(fd);
    while (rv == 0 && n_open < n) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0) {
            rv = -errno;
        } else {
            fds[n_open++] = copy;
        }
    }
    if (rv != 0) {
        close_all(fds, n_open);
        unlink(address->sun_path);
    }
    return rv;
}

/* A file that is no socket: nobody listens there, and it is not ours. */
static int is_other_file(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode);
}

int listen_socket_open(const struct listen_address *address, unsigned n,
                       int *fds, struct nb_errctx *err)
{
    if (!address->is_unix) {
        return open_host(address, n, fds, err);
    }
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    memcpy(local.sun_path, address->path, sizeof(local.sun_path));
    int rv = open_unix(&local, n, fds);
    if (rv != 0) {
        return nb_fail(err, rv, "cannot listen on unix:%.180s: %s",
                       address->path,
                       rv == -EADDRINUSE && is_other_file(address->path)
                           ? "a file is there that is no socket"
                           : nb_strerror(rv));
    }
    return 0;
}
