/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/nibble.pb-c.h"
#include "server/request/cold_read.h"
#include "server/request/feature.h"
#include "server/request/rpc.h"

static int check_lengths(struct call *call, size_t i,
                         const Nibble__V1__PoolFeature *feature, size_t n_ids)
{
    uint64_t sum = 0;
    for (size_t bag = 0; bag < feature->n_lengths; bag++) {
        sum += feature->lengths[bag];
    }
    if (sum != n_ids) {
        return call_fail(call, RPC_INVALID_ARGUMENT,
                         "features[%zu].lengths: sum %llu, but %zu ids", i,
                         (unsigned long long)sum, n_ids);
    }
    return 0;
}

static int check_feature(struct call *call, size_t i,
                         const Nibble__V1__PoolFeature *feature, size_t n_ids)
{
    uint32_t pooling = (uint32_t)feature->pooling;
    if (pooling > NB_MAX) {
        return call_fail(call, RPC_INVALID_ARGUMENT,
                         "features[%zu].pooling: %u is not known", i, pooling);
    }
    if (feature->n_weights != 0 && pooling == NB_MAX) {
        return call_fail(call, RPC_INVALID_ARGUMENT,
                         "features[%zu].weights: not with MAX", i);
    }
    if (feature->n_weights != 0 && feature->n_weights != n_ids) {
        return call_fail(call, RPC_INVALID_ARGUMENT,
                         "features[%zu].weights: %zu weights, but %zu ids", i,
                         feature->n_weights, n_ids);
    }
    return check_lengths(call, i, feature, n_ids);
}

static int make_plan(struct call *call, const Nibble__V1__PoolRequest *request,
                     const struct table_set *tables, struct feature_plan *plan)
{
    size_t n = request->n_features;
    if (feature_plan_init(call, n, plan) != 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        const Nibble__V1__PoolFeature *from = request->features[i];
        const struct feature_fields fields = {
            .table = from->table,
            .n_ids = from->n_ids,
            .ids = from->ids,
            .n_ids32 = from->n_ids32,
            .ids32 = from->ids32,
        };
        struct feature *feature = &plan->features[i];
        if (feature_resolve(call, tables, i, &fields, feature) != 0 ||
            check_feature(call, i, from, feature->ids.n) != 0) {
            return -1;
        }
        feature->n_bags = from->n_lengths;
        plan->heads[i] =
            feature_head(feature, from->n_lengths, (uint32_t)request->dtype);
    }
    return 0;
}

static int run_plan(struct call *call, const Nibble__V1__PoolRequest *request,
                    const struct feature_plan *plan,
                    struct blocks_writer *writer)
{
    for (size_t i = 0; i < request->n_features; i++) {
        const Nibble__V1__PoolFeature *from = request->features[i];
        const struct feature *feature = &plan->features[i];
        const struct nb_pool pool = {
            .ids = feature->ids,
            .lengths = from->lengths,
            .n_bags = from->n_lengths,
            .weights = from->n_weights != 0 ? from->weights : NULL,
            .pooling = (uint32_t)from->pooling,
            .dtype = (uint32_t)request->dtype,
            .unseen = feature->entry->unseen,
        };
        uint64_t unseen = 0;
        int rv = nb_pool(feature->entry->rows, &pool,
                         blocks_add(writer, &plan->heads[i]), &unseen);
        if (feature_done(call, i, feature, rv, unseen, writer) != 0) {
            return -1;
        }
    }
    return 0;
}

int handle_pool(struct call *call, const void *message)
{
    const Nibble__V1__PoolRequest *request = message;
    uint32_t dtype = (uint32_t)request->dtype;
    struct table_set *tables;
    struct feature_plan plan;
    struct blocks_writer writer;
    if (feature_begin(call, request->model, request->version,
                      request->timeout_ms, dtype, &tables) != 0) {
        return -1;
    }
    if (dtype == NB_PACKED) {
        return call_fail(call, RPC_INVALID_ARGUMENT,
                         "dtype: PACKED is for Lookup only");
    }
    if (make_plan(call, request, tables, &plan) != 0 ||
        cold_read_find(call, tables, plan.features, request->n_features) != 0 ||
        feature_reserve(call, tables, plan.heads, request->n_features,
                        &writer) != 0) {
        return -1;
    }
    return run_plan(call, request, &plan, &writer);
}
