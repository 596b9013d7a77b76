/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A StatusReply as a person reads it, or as JSON. */
#ifndef NB_CLI_STATUS_OUTPUT_H
#define NB_CLI_STATUS_OUTPUT_H

#include <stddef.h>

#include "client/cli/server_query.h"

/* Prints an encoded nibble.v1.StatusReply. Returns an exit status. */
int status_output(const struct server_query *query, const void *body,
                  size_t bytes);

#endif
