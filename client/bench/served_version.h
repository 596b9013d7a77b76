/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Which version of a model a server serves. */
#ifndef NB_BENCH_SERVED_VERSION_H
#define NB_BENCH_SERVED_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "client/lib/nibble_client.h"

struct served_wait {
    const char *server; /* borrowed, as all of this */
    uint32_t timeout_ms;
    const char *model;
    double patience_s;
    const bool *stop; /* once true, by a signal, waiting ends; NULL: never */
};

/* Waits until the server says that it serves this version; *seen is the one
 * that it said last, 0: none. NB_ERR_TIMEOUT: it did not, -EINTR when it was
 * stopped; errors of nb_client_connect() and nb_client_status(). */
int served_version_wait(const struct served_wait *wait, uint64_t version,
                        uint64_t *seen, struct nb_errctx *err);

#endif
