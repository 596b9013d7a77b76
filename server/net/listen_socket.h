/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Listening sockets, one for each loop: over TCP each its own with
 * SO_REUSEPORT, so that the kernel spreads connections; a Unix socket cannot
 * be bound twice, so loops share one through duplicates. */
#ifndef NB_SERVER_LISTEN_SOCKET_H
#define NB_SERVER_LISTEN_SOCKET_H

#include <netdb.h>

#include "quant/nibble.h"
#include "server/settings/listen_address.h"

/*
 * Binds and listens; fds[0..n) are the caller's to close. The address must be
 * free: another process on the port is an error, although SO_REUSEPORT would
 * let both in. A socket file that no one listens on is replaced.
 * -errno, NB_ERR_NOT_FOUND (host); *err names the address. Nothing is held.
 */
int listen_socket_open(const struct listen_address *address, unsigned n,
                       int *fds, struct nb_errctx *err);

/* The same for what a host's name stands for: the first of these addresses that
 * this machine has. That it is taken is an error. -errno. */
int listen_socket_open_found(const struct addrinfo *found, unsigned n,
                             int *fds);

#endif
