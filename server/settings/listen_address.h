/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* An address to listen on, as text: HOST:PORT, [IPV6]:PORT, unix:PATH, or
 * systemd, for a socket that is passed. */
#ifndef NB_SERVER_LISTEN_ADDRESS_H
#define NB_SERVER_LISTEN_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "quant/nibble.h"

struct listen_address {
    bool is_unix;
    bool inherited;
    char host[256]; /* "": every interface */
    char port[6];   /* decimal, 0..65535 */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* Bytes of an address as text, of a path at its longest. */
#define LISTEN_ADDRESS_TEXT 128

/* NB_ERR_INVALID: *err says what is wrong with `text`. */
int listen_address_parse(const char *text, struct listen_address *address,
                         struct nb_errctx *err);

/* The address a socket is bound to, in the form that is parsed. -errno. */
int listen_address_of(int fd, char text[LISTEN_ADDRESS_TEXT]);

#endif
