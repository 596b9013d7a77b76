/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/nibble.pb-c.h"
#include "server/request/cold_read.h"
#include "server/request/feature.h"
#include "server/request/rpc.h"

static int make_plan(struct call *call,
                     const Nibble__V1__LookupRequest *request,
                     const struct table_set *tables, struct feature_plan *plan)
{
    size_t n = request->n_features;
    if (feature_plan_init(call, n, plan) != 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        const Nibble__V1__LookupFeature *from = request->features[i];
        const struct feature_fields fields = {
            .table = from->table,
            .n_ids = from->n_ids,
            .ids = from->ids,
            .n_ids32 = from->n_ids32,
            .ids32 = from->ids32,
        };
        struct feature *feature = &plan->features[i];
        if (feature_resolve(call, tables, i, &fields, feature) != 0) {
            return -1;
        }
        if ((uint32_t)request->dtype == NB_PACKED &&
            feature->entry->rows->protect != NULL) {
            return call_fail(call, RPC_INVALID_ARGUMENT,
                             "features[%zu]: table '%.100s' has protected "
                             "rows, of two each, which PACKED cannot give",
                             i, from->table);
        }
        plan->heads[i] =
            feature_head(feature, feature->ids.n, (uint32_t)request->dtype);
    }
    return 0;
}

int handle_lookup(struct call *call, const void *message)
{
    const Nibble__V1__LookupRequest *request = message;
    uint32_t dtype = (uint32_t)request->dtype;
    struct table_set *tables;
    struct feature_plan plan;
    struct blocks_writer writer;
    if (feature_begin(call, request->model, request->version,
                      request->timeout_ms, dtype, &tables) != 0 ||
        make_plan(call, request, tables, &plan) != 0 ||
        cold_read_find(call, tables, plan.features, request->n_features) != 0 ||
        feature_reserve(call, tables, plan.heads, request->n_features,
                        &writer) != 0) {
        return -1;
    }
    for (size_t i = 0; i < request->n_features; i++) {
        const struct feature *feature = &plan.features[i];
        const struct nb_lookup lookup = {
            .ids = feature->ids,
            .dtype = dtype,
            .unseen = feature->entry->unseen,
        };
        uint64_t unseen = 0;
        int rv = nb_lookup(feature->entry->rows, &lookup,
                           blocks_add(&writer, &plan.heads[i]), &unseen);
        if (feature_done(call, i, feature, rv, unseen, &writer) != 0) {
            return -1;
        }
    }
    return 0;
}
