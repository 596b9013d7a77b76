/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/status_output.h"

#include <stdio.h>
#include <time.h>

#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/json_line.h"
#include "proto/nibble.pb-c.h"

typedef Nibble__V1__StatusReply status_reply;
typedef Nibble__V1__ModelStatus model_status;
typedef Nibble__V1__TableStatus table_status;
typedef Nibble__V1__MethodStatus method_status;
typedef Nibble__V1__ReloadStatus reload_status;

/* A status is some KiB; protobuf-c may take 20 times what it decodes. */
#define STATUS_BYTES_MAX (64u << 20)

/* End of the year 9999: a peer's time beyond it is no time. */
#define UNIX_SECONDS_MAX UINT64_C(253402300799)

/* ---- text ------------------------------------------------------------- */

static void print_server(const struct server_query *query,
                         const status_reply *reply)
{
    printf("server     nibbled %s at %s, up %s\n",
           text_foreign(reply->server_version).text, query->server,
           text_duration((double)reply->uptime_ms / 1000).text);
    printf("kernels    %s, %s\n", text_foreign(reply->isa).text,
           text_counted(reply->loops, "event loop").text);
    printf("load       %s open, %s accepted, %s refused\n",
           text_counted(reply->connections, "connection").text,
           text_count(reply->connections_accepted).text,
           text_count(reply->connections_refused).text);
    printf("network    %s received, %s sent\n",
           text_bytes(reply->bytes_received).text,
           text_bytes(reply->bytes_sent).text);
    printf("framing    %s closed for broken or late frames\n",
           text_counted(reply->bad_frames, "connection").text);
    for (size_t i = 0; i < reply->n_methods; i++) {
        const method_status *method = reply->methods[i];
        printf(
            "%-10s %-10s %s, %s answered with an error, %s of them expired\n",
            i == 0 ? "requests" : "", text_foreign(method->name).text,
            text_counted(method->requests, "request").text,
            text_count(method->errors).text, text_count(method->expired).text);
    }
}

static void print_table(const table_status *table)
{
    printf("  %-16s %14s x %-5u %-11s %-6s %9u %16s %-9s %12s\n",
           text_foreign(table->name).text, text_count(table->rows).text,
           table->dim, text_foreign(table->codec).text,
           text_foreign(table->scales).text, table->row_bytes,
           text_count(table->file_bytes).text,
           text_foreign(table->residency).text, text_count(table->unseen).text);
}

/* "yyyy-mm-dd hh:mm:ss UTC" */
static void print_time(uint64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;
    char text[32];
    if (unix_ms / 1000 <= UNIX_SECONDS_MAX &&
        gmtime_r(&seconds, &parts) != NULL &&
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts) > 0) {
        printf("%s UTC", text);
    } else {
        printf("at an unknown time");
    }
}

static void print_loaded(const model_status *model)
{
    printf("  loaded      ");
    for (size_t i = 0; i < model->n_loaded; i++) {
        printf("%s%llu", i > 0 ? ", " : "",
               (unsigned long long)model->loaded[i]);
    }
    printf("%s\n", model->n_loaded == 0 ? "nothing" : "");
}

static void print_reload(const reload_status *reload)
{
    printf("  last reload %s", text_foreign(reload->result).text);
    if (reload->version != 0) {
        printf(", version %llu", (unsigned long long)reload->version);
    }
    printf(", ");
    print_time(reload->at_unix_ms);
    printf(", took %s; %s since the start, %s\n",
           text_duration((double)reload->took_ms / 1000).text,
           text_counted(reload->loads, "load").text,
           text_counted(reload->failures, "failure").text);
    if (reload->reason[0] != '\0') {
        printf("  reason      ");
        text_foreign_print(reload->reason);
        printf("\n");
    }
}

static void print_model(const model_status *model)
{
    printf("\nmodel %s, ", text_foreign(model->name).text);
    if (model->version != 0) {
        printf("version %llu, %s (%s)\n", (unsigned long long)model->version,
               text_counted(model->n_tables, "table").text,
               text_foreign(model->choice).text);
    } else {
        printf("not served\n");
    }
    if (model->reload != NULL) {
        print_loaded(model);
        print_reload(model->reload);
    }
    if (model->n_tables == 0) {
        return;
    }
    printf("  %-16s %14s x %-5s %-11s %-6s %9s %16s %-9s %12s\n", "table",
           "rows", "dim", "codec", "scales", "bytes/row", "file bytes",
           "residency", "unseen ids");
    for (size_t i = 0; i < model->n_tables; i++) {
        print_table(model->tables[i]);
    }
}

static void print_text(const struct server_query *query,
                       const status_reply *reply)
{
    print_server(query, reply);
    if (reply->n_models == 0) {
        printf("models     none: no version of a model is loaded\n");
    }
    for (size_t i = 0; i < reply->n_models; i++) {
        print_model(reply->models[i]);
    }
}

/* ---- JSON ------------------------------------------------------------- */

static json_t *json_table(const table_status *table)
{
    json_t *object = json_object();
    json_put(&object, "name", json_text(table->name));
    json_put(&object, "codec", json_text(table->codec));
    json_put(&object, "scales", json_text(table->scales));
    json_put(&object, "rows", json_count(table->rows));
    json_put(&object, "dim", json_count(table->dim));
    json_put(&object, "row_bytes", json_count(table->row_bytes));
    json_put(&object, "file_bytes", json_count(table->file_bytes));
    json_put(&object, "residency", json_text(table->residency));
    json_put(&object, "unseen", json_count(table->unseen));
    return object;
}

static json_t *json_loaded(const model_status *model)
{
    json_t *list = json_array();
    for (size_t i = 0; i < model->n_loaded; i++) {
        json_append(&list, json_count(model->loaded[i]));
    }
    return list;
}

static json_t *json_reload(const reload_status *reload)
{
    json_t *object = json_object();
    json_put(&object, "result", json_text(reload->result));
    json_put(&object, "version", json_count(reload->version));
    json_put(&object, "reason", json_text(reload->reason));
    json_put(&object, "at_unix_ms", json_count(reload->at_unix_ms));
    json_put(&object, "took_ms", json_count(reload->took_ms));
    json_put(&object, "loads", json_count(reload->loads));
    json_put(&object, "failures", json_count(reload->failures));
    return object;
}

static json_t *json_models(const status_reply *reply)
{
    json_t *list = json_array();
    for (size_t i = 0; i < reply->n_models; i++) {
        const model_status *model = reply->models[i];
        json_t *tables = json_array();
        for (size_t j = 0; j < model->n_tables; j++) {
            json_append(&tables, json_table(model->tables[j]));
        }
        json_t *object = json_object();
        json_put(&object, "name", json_text(model->name));
        json_put(&object, "version", json_count(model->version));
        json_put(&object, "choice", json_text(model->choice));
        json_put(&object, "loaded", json_loaded(model));
        if (model->reload != NULL) {
            json_put(&object, "reload", json_reload(model->reload));
        }
        json_put(&object, "tables", tables);
        json_append(&list, object);
    }
    return list;
}

static json_t *json_methods(const status_reply *reply)
{
    json_t *list = json_array();
    for (size_t i = 0; i < reply->n_methods; i++) {
        const method_status *method = reply->methods[i];
        json_t *object = json_object();
        json_put(&object, "name", json_text(method->name));
        json_put(&object, "requests", json_count(method->requests));
        json_put(&object, "errors", json_count(method->errors));
        json_put(&object, "expired", json_count(method->expired));
        json_append(&list, object);
    }
    return list;
}

static int print_json(const struct server_query *query,
                      const status_reply *reply)
{
    json_t *object = json_object();
    json_put(&object, "server", json_text(query->server));
    json_put(&object, "server_version", json_text(reply->server_version));
    json_put(&object, "uptime_ms", json_count(reply->uptime_ms));
    json_put(&object, "isa", json_text(reply->isa));
    json_put(&object, "loops", json_count(reply->loops));
    json_put(&object, "connections", json_count(reply->connections));
    json_put(&object, "connections_accepted",
             json_count(reply->connections_accepted));
    json_put(&object, "connections_refused",
             json_count(reply->connections_refused));
    json_put(&object, "bad_frames", json_count(reply->bad_frames));
    json_put(&object, "bytes_received", json_count(reply->bytes_received));
    json_put(&object, "bytes_sent", json_count(reply->bytes_sent));
    json_put(&object, "methods", json_methods(reply));
    json_put(&object, "models", json_models(reply));
    return json_line_print("status", object);
}

int status_output(const struct server_query *query, const void *body,
                  size_t bytes)
{
    struct nb_errctx err = {""};
    status_reply *reply =
        bytes <= STATUS_BYTES_MAX
            ? nibble__v1__status_reply__unpack(NULL, bytes, body)
            : NULL;
    if (reply == NULL) {
        nb_fail(&err, 0, "%.100s: malformed status", query->server);
        return command_fail("status", NB_ERR_MESSAGE, &err);
    }
    int status = COMMAND_DONE;
    if (query->json) {
        status = print_json(query, reply);
    } else {
        print_text(query, reply);
    }
    nibble__v1__status_reply__free_unpacked(reply, NULL);
    return status;
}
