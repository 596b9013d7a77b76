/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* HTTP for operators, on a thread and an address of its own: metrics, health,
 * status, a page that shows them. It can have the repository looked at; it
 * cannot be told a file, and no request for rows comes here. */
#ifndef NB_SERVER_ADMIN_H
#define NB_SERVER_ADMIN_H

#include "quant/nibble.h"
#include "server/models/catalog.h"
#include "server/models/follower.h"
#include "server/settings/listen_address.h"
#include "server/request/service.h"

/* What it tells about; all of it outlives the admin. */
struct admin_source {
    const struct service_common *common;
    struct follower *follower; /* NULL: nothing is reloaded */
    struct catalog *files;     /* without a follower, what is served */
    uint64_t (*now_ns)(void);
};

struct admin;

/* Descriptors that it takes at most. */
#define ADMIN_DESCRIPTORS 40

/* Binds `address`, an option's text, and starts the thread; `bound` is told the
 * address with its port. Errors of listen_socket_open(), NB_ERR_INVALID,
 * NB_ERR_NOMEM. */
int admin_start(const char *address, const struct admin_source *source,
                char bound[LISTEN_ADDRESS_TEXT], struct admin **admin,
                struct nb_errctx *err);

/* Ends the thread; NULL is allowed. */
void admin_stop(struct admin *admin);

#endif
