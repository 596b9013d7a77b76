/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/server_query.h"

#include <errno.h>

#include "client/cli/command.h"
#include "client/lib/dial.h"

#define AT(field) offsetof(struct server_query, field)

const struct option_row query_server_rows[QUERY_SERVER_ROWS] = {
    {.name = "server",
     .type = OPTION_TEXT,
     .offset = AT(server),
     .value = "ADDRESS",
     .fallback = "127.0.0.1:7700",
     .help = "HOST:PORT, [IPV6]:PORT or unix:PATH"},
    {.name = "timeout-ms",
     .type = OPTION_NUMBER,
     .offset = AT(timeout_ms),
     .value = "N",
     .fallback = "30000",
     .min = 1,
     .max = 86400000,
     .help = "milliseconds to wait for the answer"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .help = "print one JSON object and nothing else"},
};

const struct option_row query_table_rows[QUERY_TABLE_ROWS] = {
    {.name = "table",
     .type = OPTION_TEXT,
     .offset = AT(table),
     .value = "NAME",
     .required = true,
     .help = "the table to ask"},
    {.name = "model",
     .type = OPTION_TEXT,
     .offset = AT(model),
     .value = "NAME",
     .help = "its model; needed where the server has several"},
    {.name = "version",
     .type = OPTION_NUMBER,
     .offset = AT(version),
     .value = "N",
     .fallback = "0",
     .max = UINT64_MAX,
     .help = "the model's version; 0 is the one being served"},
    {.name = "npy",
     .type = OPTION_TEXT,
     .offset = AT(npy),
     .value = "FILE",
     .help = "write the values to a NumPy file instead of printing them (fp16 "
             "as fp16, all else as fp32, which loses nothing)"},
};

const char *query_dtype_at(size_t i)
{
    static const char *const names[] = {
        [NB_FP32] = "fp32",
        [NB_FP16] = "fp16",
        [NB_BF16] = "bf16",
        [NB_PACKED] = "packed",
    };
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

bool query_check(const char *command, const struct server_query *query,
                 int *status)
{
    struct sockaddr_un path;
    char host[DIAL_HOST_BYTES];
    char port[DIAL_PORT_BYTES];
    struct nb_errctx err;
    int rv = dial_is_unix(query->server)
                 ? dial_unix(query->server, &path, &err)
                 : dial_split(query->server, host, port, &err);
    if (rv != 0) {
        *status = command_misused(command, "--server: %s", err.text);
    }
    return rv == 0;
}

int query_connect(const struct server_query *query, struct nb_client **client,
                  struct nb_errctx *err)
{
    const struct nb_client_options options = {
        .timeout_ms = (uint32_t)query->timeout_ms,
        .connect_timeout_ms = (uint32_t)query->timeout_ms,
    };
    struct nb_errctx why;
    int rv = nb_client_connect(query->server, &options, client, &why);
    if (rv == -ECONNREFUSED || rv == -ENOENT) {
        return nb_fail(err, rv, "%.200s (is nibbled running there?)", why.text);
    }
    return rv == 0 ? 0 : nb_fail(err, rv, "%s", why.text);
}

int query_fail(const char *command, int code, const struct nb_errctx *err)
{
    struct nb_errctx line = *err;
    if (code == NB_ERR_CLOSED || code == NB_ERR_FRAME) {
        nb_fail(&line, code,
                "%.180s (is that where nibbled listens? --admin is another)",
                err->text);
    }
    return command_fail(command, code, &line);
}
