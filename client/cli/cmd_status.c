/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "client/cli/command.h"
#include "client/cli/option_table.h"
#include "client/cli/server_query.h"
#include "client/cli/status_output.h"

static const struct option_table options = {
    .command = "status",
    .about = "Shows what a server serves: models, versions, tables; and how "
             "busy it is. Counters are those since it started.",
    .example = "  nibble status --server 127.0.0.1:7700",
    .groups = {OPTION_GROUP(query_server_rows, 0)},
};

int cmd_status(int argc, char **argv)
{
    struct server_query query = {0};
    int status;
    if (!options_parse(&options, argc, argv, &query, &status) ||
        !query_check("status", &query, &status)) {
        return status;
    }
    struct nb_errctx err = {""};
    struct nb_client *client = NULL;
    const void *body = NULL;
    size_t bytes = 0;
    int rv = query_connect(&query, &client, &err);
    if (rv == 0) {
        rv = nb_client_status(client, &body, &bytes, &err);
    }
    status = rv == 0 ? status_output(&query, body, bytes)
                     : query_fail("status", rv, &err);
    nb_client_close(client);
    return status;
}
