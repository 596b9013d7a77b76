/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/nibble.pb-c.h"
#include "server/feature.h"
#include "server/rpc.h"

/* An array of pointers to n zeroed elements, as protobuf-c wants it. */
static int pointers(struct call *call, size_t n, size_t bytes, void *array)
{
    void *elements;
    void **to;
    if (call_array(call, n, bytes, &elements) != 0 ||
        call_array(call, n, sizeof(*to), (void **)&to) != 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = (uint8_t *)elements + i * bytes;
    }
    *(void ***)array = to;
    return 0;
}

static void fill_table(const struct table_set *set, size_t i,
                       Nibble__V1__TableStatus *status)
{
    const struct table_entry *entry = table_set_at(set, i);
    const struct nb_format *format = &entry->rows->format;
    const char *codec = nb_codec_name(format->codec);
    nibble__v1__table_status__init(status);
    status->name = entry->name;
    status->codec = (char *)(codec != NULL ? codec : "");
    status->scales = format->scales == NB_SCALES_FP16 ? "fp16" : "fp32";
    status->rows = entry->rows->n_rows;
    status->dim = format->dim;
    status->row_bytes = (uint32_t)entry->row_bytes;
    status->file_bytes = table_info(entry->table)->file_bytes;
    struct table_totals totals;
    table_stats_sum(entry->stats, &totals);
    status->unseen = totals.unseen;
    status->residency = "map";
}

static int fill_loaded(struct call *call, const struct catalog_entry *entry,
                       Nibble__V1__ModelStatus *model)
{
    void *versions;
    if (!catalog_entry_is_served(entry)) {
        return 0;
    }
    if (call_array(call, entry->n_kept + 1, sizeof(*model->loaded),
                   &versions) != 0) {
        return -1;
    }
    model->loaded = versions;
    model->n_loaded = entry->n_kept + 1;
    model->loaded[0] = table_set_version(entry->tables);
    for (size_t i = 0; i < entry->n_kept; i++) {
        model->loaded[i + 1] = table_set_version(entry->kept[i]);
    }
    return 0;
}

static int fill_reload(struct call *call, const struct catalog_reload *from,
                       Nibble__V1__ReloadStatus **reload)
{
    void *memory;
    if (from->result == RELOAD_NONE) {
        return 0;
    }
    if (call_array(call, 1, sizeof(**reload), &memory) != 0) {
        return -1;
    }
    Nibble__V1__ReloadStatus *to = memory;
    nibble__v1__reload_status__init(to);
    to->result = (char *)catalog_result_name(from->result);
    to->version = from->version;
    to->reason = (char *)from->reason;
    to->at_unix_ms = from->at_unix_ms;
    to->took_ms = from->took_ms;
    to->loads = from->n_loads;
    to->failures = from->n_failures;
    *reload = to;
    return 0;
}

static int fill_model(struct call *call, const struct catalog_entry *entry,
                      Nibble__V1__ModelStatus *model)
{
    const struct table_set *set = entry->tables;
    nibble__v1__model_status__init(model);
    model->name = (char *)table_set_model(set);
    model->version = table_set_version(set);
    model->choice = (char *)catalog_choice_name(entry->choice);
    if (fill_loaded(call, entry, model) != 0 ||
        fill_reload(call, &entry->reload, &model->reload) != 0) {
        return -1;
    }
    model->n_tables = table_set_n(set);
    if (pointers(call, model->n_tables, sizeof(**model->tables),
                 &model->tables) != 0) {
        return -1;
    }
    for (size_t i = 0; i < model->n_tables; i++) {
        fill_table(set, i, model->tables[i]);
    }
    return 0;
}

/* All of them, or `only` one. */
static int fill_models(struct call *call, const struct catalog_entry *only,
                       Nibble__V1__StatusReply *reply)
{
    const struct catalog *catalog = call->service->catalog;
    reply->n_models = only != NULL ? 1 : catalog_n(catalog);
    if (pointers(call, reply->n_models, sizeof(**reply->models),
                 &reply->models) != 0) {
        return -1;
    }
    int rv = 0;
    for (size_t i = 0; i < reply->n_models && rv == 0; i++) {
        rv = fill_model(call, only != NULL ? only : catalog_at(catalog, i),
                        reply->models[i]);
    }
    return rv;
}

static int fill_methods(struct call *call, const struct totals *totals,
                        Nibble__V1__StatusReply *reply)
{
    static char *const names[N_METHODS] = {
#define METHOD(id, name, max_request_bytes) [METHOD_##name] = #name,
#include "proto/methods.def"
#undef METHOD
    };
    if (pointers(call, N_METHODS, sizeof(**reply->methods), &reply->methods) !=
        0) {
        return -1;
    }
    for (size_t i = 0; i < N_METHODS; i++) {
        Nibble__V1__MethodStatus *method = reply->methods[i];
        nibble__v1__method_status__init(method);
        method->name = names[i];
        method->requests = totals->methods[i].requests;
        method->errors = totals->methods[i].errors;
        method->expired = totals->methods[i].expired;
    }
    reply->n_methods = N_METHODS;
    return 0;
}

/* Points into the table: packed before the request is over. */
static void fill_params(const struct table_set *set,
                        const struct table_entry *entry,
                        Nibble__V1__TableParams *to)
{
    static const struct nb_params none;
    const struct nb_rows *rows = entry->rows;
    const struct nb_params *params =
        rows->params != NULL ? rows->params : &none;
    to->table = entry->name;
    to->version = table_set_version(set);
    to->codec = rows->format.codec;
    to->dim = rows->format.dim;
    to->scales = rows->format.scales;
    to->params = table_info(entry->table)->params_checksum;
    to->n_column_mean = params->column_mean != NULL ? to->dim : 0;
    to->column_mean = (float *)params->column_mean;
    to->n_column_scale = params->column_scale != NULL ? to->dim : 0;
    to->column_scale = (float *)params->column_scale;
    if (params->codebooks != NULL) {
        to->codebooks = params->n_codebooks;
        to->levels = params->n_levels;
        to->n_codebook_levels = (size_t)params->n_codebooks * params->n_levels;
        to->codebook_levels = (float *)params->codebooks;
    }
}

/* The parameters of the table that the request names. */
static int find_params(struct call *call,
                       const Nibble__V1__StatusRequest *request,
                       Nibble__V1__TableParams *params)
{
    struct table_set *set;
    if (feature_begin(call, request->model, request->version, 0, NB_FP32,
                      &set) != 0) {
        return -1;
    }
    const struct table_entry *entry = table_set_find(set, request->table);
    if (entry == NULL) {
        return call_fail(call, RPC_NOT_FOUND, "table: no table '%.100s'",
                         request->table);
    }
    fill_params(set, entry, params);
    return 0;
}

int handle_status(struct call *call, const void *message)
{
    const Nibble__V1__StatusRequest *request = message;
    const struct service *service = call->service;
    const struct service_common *common = service->common;
    const struct catalog_entry *only = NULL;
    if (request->model[0] != '\0' &&
        feature_find_model(call, request->model, &only) != 0) {
        return -1;
    }
    Nibble__V1__TableParams params = NIBBLE__V1__TABLE_PARAMS__INIT;
    bool with_params = request->table[0] != '\0';
    if (with_params && find_params(call, request, &params) != 0) {
        return -1;
    }
    struct totals totals;
    counters_sum(common->counters, common->n_loops, &totals);
    Nibble__V1__StatusReply reply = NIBBLE__V1__STATUS_REPLY__INIT;
    reply.server_version = NB_VERSION_STRING;
    reply.uptime_ms = (service->now_ns() - common->started_ns) / 1000000;
    reply.isa = (char *)nb_isa();
    reply.loops = common->n_loops;
    reply.connections = totals.connections;
    reply.connections_accepted = totals.connections_accepted;
    reply.connections_refused = totals.connections_refused;
    reply.bytes_received = totals.bytes_received;
    reply.bytes_sent = totals.bytes_sent;
    reply.bad_frames = totals.bad_frames;
    reply.params = with_params ? &params : NULL;
    void *body;
    if (fill_methods(call, &totals, &reply) != 0 ||
        fill_models(call, only, &reply) != 0 ||
        call_reserve(call, nibble__v1__status_reply__get_packed_size(&reply),
                     &body) != 0) {
        return -1;
    }
    nibble__v1__status_reply__pack(&reply, body);
    return 0;
}
