/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/nibble.pb-c.h"
#include "server/request/feature.h"
#include "server/request/rpc.h"
#include "server/request/work.h"

static int make_plan(struct call *call,
                     const Nibble__V1__LookupRequest *request,
                     const struct table_set *tables, struct work *work)
{
    for (size_t i = 0; i < request->n_features; i++) {
        const Nibble__V1__LookupFeature *from = request->features[i];
        const struct feature_fields fields = {
            .table = from->table,
            .n_ids = from->n_ids,
            .ids = from->ids,
            .n_ids32 = from->n_ids32,
            .ids32 = from->ids32,
        };
        struct feature *feature = &work->features[i];
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
        work->heads[i] =
            feature_head(feature, feature->ids.n, (uint32_t)request->dtype);
    }
    return 0;
}

int handle_lookup(struct call *call, const void *message)
{
    const Nibble__V1__LookupRequest *request = message;
    uint32_t dtype = (uint32_t)request->dtype;
    struct table_set *tables;
    struct work *work;
    if (feature_begin(call, request->model, request->version,
                      request->timeout_ms, dtype, &tables) != 0 ||
        work_create(call, request->n_features, dtype, &work) != 0 ||
        make_plan(call, request, tables, work) != 0) {
        return -1;
    }
    return work_begin(call, tables, work);
}
