/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* All loops of a process, from bound to drained. */
#ifndef NB_SERVER_SERVER_H
#define NB_SERVER_SERVER_H

#include "quant/nibble.h"
#include "server/catalog.h"
#include "server/options.h"

/* Loops that --loops asks for. */
unsigned server_loops(const struct options *options);

/*
 * Binds, serves `catalog` until SIGTERM or SIGINT, drains and returns 0. Takes
 * no reference beyond its own. Errors of binding and starting; *err says what
 * failed.
 */
int server_run(const struct options *options, struct catalog *catalog,
               struct nb_errctx *err);

#endif
