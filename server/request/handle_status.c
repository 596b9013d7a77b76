/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/nibble.pb-c.h"
#include "server/request/feature.h"
#include "server/request/rpc.h"
#include "server/request/status_fill.h"

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
        return feature_no_table(call, set, "table", request->table);
    }
    fill_params(set, entry, params);
    return 0;
}

int handle_status(struct call *call, const void *message)
{
    const Nibble__V1__StatusRequest *request = message;
    const struct service *service = call->service;
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
    const struct status_source source = {
        .common = service->common,
        .catalog = service->catalog,
        .only = only,
        .now_ns = service->now_ns(),
    };
    Nibble__V1__StatusReply reply;
    if (status_fill(&source, call->arena, &reply) != 0) {
        return call_fail(call, RPC_RESOURCE_EXHAUSTED,
                         "request: its reply takes over %zu bytes to make",
                         call->arena->capacity);
    }
    reply.params = with_params ? &params : NULL;
    void *body;
    if (call_reserve(call, nibble__v1__status_reply__get_packed_size(&reply),
                     &body) != 0) {
        return -1;
    }
    nibble__v1__status_reply__pack(&reply, body);
    return 0;
}
