/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What a server tells of itself, decoded. */
#ifndef NB_BENCH_SERVER_STATUS_H
#define NB_BENCH_SERVER_STATUS_H

#include "client/lib/nibble_client.h"
#include "proto/nibble.pb-c.h"

/* On success the caller frees *status, as protobuf-c has it. Errors of
 * nb_client_status(); NB_ERR_MESSAGE. */
int server_status_ask(struct nb_client *client,
                      Nibble__V1__StatusReply **status, struct nb_errctx *err);

#endif
