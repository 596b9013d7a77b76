/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What the server is and does, as a StatusReply: for the wire, and for HTTP. */
#ifndef NB_SERVER_STATUS_FILL_H
#define NB_SERVER_STATUS_FILL_H

#include "proto/arena.h"
#include "proto/nibble.pb-c.h"
#include "server/request/service.h"

struct status_source {
    const struct service_common *common;
    const struct catalog *catalog;
    const struct catalog_entry *only; /* of the catalog; NULL: every model */
    uint64_t now_ns;
};

/* Fills *reply with all but `params`. It points into the arena and the catalog.
 * Any thread. NB_ERR_NOMEM: the arena is used up. */
int status_fill(const struct status_source *source, struct arena *arena,
                Nibble__V1__StatusReply *reply);

/* What that takes of an arena at most. */
size_t status_arena_bytes(const struct service_common *common,
                          const struct catalog *catalog);

/* "lookup"; "OK", "NOT_FOUND" */
const char *status_method_name(size_t method);
const char *status_code_name(uint32_t code);

#endif
