/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The parameters of a table, as a StatusReply tells them. */
#ifndef NB_CLIENT_REPLY_PARAMS_H
#define NB_CLIENT_REPLY_PARAMS_H

#include <stddef.h>

#include "client/lib/nibble_client.h"

/* Reads and checks them; *params is ended with nb_table_params_free().
 * NB_ERR_MESSAGE; NB_ERR_UNSUPPORTED: the reply has none, or they are of a
 * codec that is not known; NB_ERR_NOMEM. */
int reply_params_read(const void *body, size_t bytes,
                      struct nb_table_params **params, struct nb_errctx *err);

#endif
