/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/nibble.pb-c.h"
#include "server/request/feature.h"
#include "server/request/rpc.h"
#include "server/request/work.h"

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
                     const struct table_set *tables, struct work *work)
{
    for (size_t i = 0; i < request->n_features; i++) {
        const Nibble__V1__PoolFeature *from = request->features[i];
        const struct feature_fields fields = {
            .table = from->table,
            .n_ids = from->n_ids,
            .ids = from->ids,
            .n_ids32 = from->n_ids32,
            .ids32 = from->ids32,
        };
        struct feature *feature = &work->features[i];
        if (feature_resolve(call, tables, i, &fields, feature) != 0 ||
            check_feature(call, i, from, feature->ids.n) != 0) {
            return -1;
        }
        feature->n_bags = from->n_lengths;
        feature->lengths = from->lengths;
        feature->weights = from->n_weights != 0 ? from->weights : NULL;
        feature->pooling = (uint32_t)from->pooling;
        work->heads[i] =
            feature_head(feature, from->n_lengths, (uint32_t)request->dtype);
    }
    return 0;
}

int handle_pool(struct call *call, const void *message)
{
    const Nibble__V1__PoolRequest *request = message;
    uint32_t dtype = (uint32_t)request->dtype;
    struct table_set *tables;
    struct work *work;
    if (feature_begin(call, request->model, request->version,
                      request->timeout_ms, dtype, &tables) != 0) {
        return -1;
    }
    if (dtype == NB_PACKED) {
        return call_fail(call, RPC_INVALID_ARGUMENT,
                         "dtype: PACKED is for Lookup only");
    }
    if (work_create(call, request->n_features, dtype, &work) != 0 ||
        make_plan(call, request, tables, work) != 0) {
        return -1;
    }
    work->pools = true;
    return work_begin(call, tables, work);
}
