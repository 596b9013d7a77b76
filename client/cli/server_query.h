/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What the commands that ask a server have in common: the options that name a
 * server, a table and a form of output, and the connection. */
#ifndef NB_CLI_SERVER_QUERY_H
#define NB_CLI_SERVER_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cli/option_table.h"
#include "client/lib/nibble_client.h"

struct server_query {
    const char *server;
    uint64_t timeout_ms;
    const char *model; /* NULL: the only one */
    uint64_t version;  /* 0: the one being served */
    const char *table;
    uint32_t dtype;  /* enum nb_dtype */
    const char *npy; /* where to write the values, NULL: print them */
    bool json;
};

/* Option groups over a struct server_query: --server --timeout-ms --json, and
 * --table --model --version --npy. */
#define QUERY_SERVER_ROWS 3
extern const struct option_row query_server_rows[QUERY_SERVER_ROWS];
#define QUERY_TABLE_ROWS 4
extern const struct option_row query_table_rows[QUERY_TABLE_ROWS];

/* Choices of --dtype, in the order of enum nb_dtype. */
option_choice_fn query_dtype_at;

/* Whether --server is written as an address is; false once told of wrong usage,
 * *status then being what to exit with. */
bool query_check(const char *command, const struct server_query *query,
                 int *status);

/* Connects as the options say; errors as nb_client_connect(). */
int query_connect(const struct server_query *query, struct nb_client **client,
                  struct nb_errctx *err);

/* command_fail() of a question, with what may be wrong with the address. */
int query_fail(const char *command, int code, const struct nb_errctx *err);

#endif
