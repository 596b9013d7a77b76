/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Sockets that systemd opened and listens on: descriptors from 3 on, as
 * LISTEN_PID and LISTEN_FDS tell. */
#ifndef NB_SERVER_LISTEN_INHERIT_H
#define NB_SERVER_LISTEN_INHERIT_H

#include <stdbool.h>

#include "quant/nibble.h"

/*
 * The socket number `index` of those given, duplicated for each of n loops; it
 * is the caller's from now on. *is_unix tells its kind. NB_ERR_NOT_FOUND: so
 * many were not given; NB_ERR_UNSUPPORTED: not a listening stream socket;
 * -errno. Main thread.
 */
int listen_inherit(unsigned index, unsigned n, int *fds, bool *is_unix,
                   struct nb_errctx *err);

#endif
