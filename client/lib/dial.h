/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* From an address as people write it to a connected socket. */
#ifndef NB_CLIENT_DIAL_H
#define NB_CLIENT_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "quant/nibble.h"

#define DIAL_HOST_BYTES 256 /* a DNS name has at most 253 */
#define DIAL_PORT_BYTES 6

/* "HOST:PORT" or "[IPV6]:PORT" taken apart. NB_ERR_INVALID. */
int dial_split(const char *address, char host[DIAL_HOST_BYTES],
               char port[DIAL_PORT_BYTES], struct nb_errctx *err);

/* Is it "unix:PATH"? */
bool dial_is_unix(const char *address);

/* The socket's address of "unix:PATH". NB_ERR_INVALID. */
int dial_unix(const char *address, struct sockaddr_un *to,
              struct nb_errctx *err);

/* Begins to connect a non-blocking stream socket, which the caller owns; how it
 * went, dial_outcome() tells when the socket is writable. -errno. */
int dial_begin(const struct sockaddr *to, socklen_t to_bytes, int *fd);
int dial_outcome(int fd);

/*
 * Connects to "HOST:PORT", "[IPV6]:PORT" or "unix:PATH"; where a name has
 * several addresses each gets its share of the time. The caller owns *fd, a
 * non-blocking stream socket. Looking a name up is not bounded by the timeout.
 * NB_ERR_INVALID (address, unknown host), NB_ERR_TIMEOUT, NB_ERR_NOMEM, -errno.
 */
int dial_connect(const char *address, uint32_t timeout_ms, int *fd,
                 struct nb_errctx *err);

#endif
