/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* All loops of a process, from bound to drained. */
#ifndef NB_SERVER_SERVER_H
#define NB_SERVER_SERVER_H

#include "quant/nibble.h"
#include "server/models/catalog.h"
#include "server/models/follower.h"
#include "server/settings/options.h"

/* Loops that --loops asks for. */
unsigned server_loops(const struct options *options);

/*
 * Binds, serves `catalog` and what `follower` (NULL: nothing is reloaded) puts
 * in its place until SIGTERM or SIGINT, drains and returns 0; SIGHUP has the
 * follower look and try again. Takes the reference to `catalog` over. Errors of
 * binding and starting; *err says what failed.
 */
int server_run(const struct options *options, struct catalog *catalog,
               struct follower *follower, struct nb_errctx *err);

#endif
