/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The answer to a lookup or a pool, as text, as JSON or as a .npy file. */
#ifndef NB_CLI_QUERY_OUTPUT_H
#define NB_CLI_QUERY_OUTPUT_H

#include <stdint.h>

#include "client/cli/server_query.h"
#include "client/lib/nibble_client.h"

/* What the rows of the answer are. */
struct query_rows {
    const char *command;
    const char *noun;    /* "row", "bag" */
    const uint64_t *ids; /* of a lookup: one a row; NULL: they are numbered */
    const char *const *words;             /* of a lookup by words, likewise */
    const struct nb_table_params *params; /* of packed rows, NULL: none */
    const char *pooling; /* of a pool: its mode; NULL otherwise */
};

/* Puts out the one block of `reply` as the options say. Returns an exit
 * status. */
int query_output(const struct server_query *query,
                 const struct query_rows *rows, const struct nb_reply *reply);

#endif
