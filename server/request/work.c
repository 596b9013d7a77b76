/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/work.h"

#include <string.h>

#include "quant/pooling.h"
#include "server/request/cold_read.h"

/* Cost is counted in units of some 6 to 30 ns, as rows are in the cache or not:
 * one an id, and more for long rows and for values written. */
#define ROW_BYTES_A_UNIT 64
#define OUT_BYTES_A_UNIT 32

/* No more is done at once, some 100 us: what few requests reach. */
#define SMALL_COST 16384u

/* The clock is looked at after so much. Where every id is a call of the system,
 * to find cold pages, that is less of it. */
#define STEP_COST        4096u
#define STEP_COST_PROBED 512u

/* The feature that is being pooled. In the arena, so that it stays where it is:
 * the pooling refers to the request, and to itself. */
struct work_pool {
    struct nb_pool request;
    struct pooling *pooling;
    uint8_t memory[]; /* of that */
};

size_t work_bytes(size_t n_features)
{
    return sizeof(struct work) +
           n_features * (sizeof(struct feature) + sizeof(struct block_head));
}

/* Where features and heads stand. */
static void find_parts(struct work *work)
{
    work->features = (struct feature *)(void *)(work + 1);
    work->heads =
        (struct block_head *)(void *)(work->features + work->n_features);
}

int work_create(struct call *call, size_t n_features, uint32_t dtype,
                struct work **work)
{
    void *made;
    if (call_array(call, 1, work_bytes(n_features), &made) != 0) {
        return -1;
    }
    *work = made;
    (*work)->n_features = n_features;
    (*work)->dtype = dtype;
    find_parts(*work);
    return 0;
}

void work_rewind(struct work *work)
{
    memset(&work->at, 0, sizeof(work->at));
    find_parts(work);
}

static uint64_t cost_of_id(const struct work *work, size_t i)
{
    uint64_t cost = 1 + work->features[i].entry->row_bytes / ROW_BYTES_A_UNIT;
    return work->pools ? cost
                       : cost + work->heads[i].row_bytes / OUT_BYTES_A_UNIT;
}

static uint64_t cost_of_bag(const struct work *work, size_t i)
{
    return 1 + work->heads[i].row_bytes / OUT_BYTES_A_UNIT;
}

/* Limits on ids, bags and bytes keep it far from overflow. */
static uint64_t cost_of(const struct work *work)
{
    uint64_t cost = 0;
    for (size_t i = 0; i < work->n_features; i++) {
        const struct feature *feature = &work->features[i];
        cost += feature->ids.n * cost_of_id(work, i) +
                feature->n_bags * cost_of_bag(work, i);
    }
    return cost;
}

/* ---- steps ----------------------------------------------------------- */

static void end_feature(struct work *work, uint64_t unseen)
{
    blocks_end(&work->writer, (uint32_t)unseen);
    work->at.feature++;
    work->at.out = NULL;
}

/* Is the step put off? It is looked at once. */
static bool is_cold(struct call *call, struct work *work,
                    const struct feature *step)
{
    work->at.is_warm = work->in_turn && !work->at.is_warm &&
                       cold_read_find(call, work->tables, step, 1) != 0;
    return work->at.is_warm;
}

/* How many of that cost; one at least. */
static size_t count_of(uint64_t most, uint64_t cost)
{
    return most > cost ? most / cost : 1;
}

/* Those of the next step of a lookup. */
static struct nb_ids next_ids(const struct work *work, uint64_t most)
{
    const struct nb_ids *ids = &work->features[work->at.feature].ids;
    size_t id = work->at.id;
    size_t left = ids->n - id;
    size_t n = work->in_turn
                   ? count_of(most, cost_of_id(work, work->at.feature))
                   : left;
    return (struct nb_ids){
        .u64 = ids->u64 != NULL ? ids->u64 + id : NULL,
        .u32 = ids->u32 != NULL ? ids->u32 + id : NULL,
        .n = n < left ? n : left,
    };
}

static int look_up(struct call *call, struct work *work, uint64_t most)
{
    const struct feature *whole = &work->features[work->at.feature];
    const struct nb_lookup lookup = {
        .ids = next_ids(work, most),
        .dtype = work->dtype,
        .unseen = whole->entry->unseen,
    };
    struct feature part = *whole;
    uint64_t unseen = 0;
    part.ids = lookup.ids;
    if (is_cold(call, work, &part)) {
        return 1;
    }
    int rv = nb_lookup(whole->entry->rows, &lookup, work->at.out, &unseen);
    if (feature_done(call, work->at.feature, &part, rv, unseen) != 0) {
        return -1;
    }
    work->at.id += part.ids.n;
    work->at.unseen += unseen;
    work->at.out += part.ids.n * work->heads[work->at.feature].row_bytes;
    if (work->at.id == whole->ids.n) {
        end_feature(work, work->at.unseen);
        work->at.id = 0;
        work->at.unseen = 0;
    }
    return 0;
}

static struct nb_pool pool_of(const struct work *work)
{
    const struct feature *feature = &work->features[work->at.feature];
    return (struct nb_pool){
        .ids = feature->ids,
        .lengths = feature->lengths,
        .n_bags = feature->n_bags,
        .weights = feature->weights,
        .pooling = feature->pooling,
        .dtype = work->dtype,
        .unseen = feature->entry->unseen,
    };
}

static int pool_whole(struct call *call, struct work *work)
{
    const struct feature *feature = &work->features[work->at.feature];
    const struct nb_pool request = pool_of(work);
    uint64_t unseen = 0;
    int rv = nb_pool(feature->entry->rows, &request, work->at.out, &unseen);
    if (feature_done(call, work->at.feature, feature, rv, unseen) != 0) {
        return -1;
    }
    end_feature(work, unseen);
    return 0;
}

static int pool_begin(struct work *work)
{
    struct work_pool *pool = work->at.pool;
    pool->request = pool_of(work);
    return pooling_begin(pool->memory, NULL,
                         work->features[work->at.feature].entry->rows,
                         &pool->request, work->at.out, &pool->pooling);
}

static int pool_next(struct call *call, struct work *work, uint64_t most)
{
    const struct feature *feature = &work->features[work->at.feature];
    struct pooling *pooling = work->at.pool->pooling;
    size_t max_ids = count_of(most, cost_of_id(work, work->at.feature));
    size_t max_bags = count_of(most, cost_of_bag(work, work->at.feature));
    struct feature ahead = *feature;
    uint64_t unseen = 0;
    ahead.ids = pooling_ahead(pooling, max_ids, max_bags);
    if (is_cold(call, work, &ahead)) {
        return 1;
    }
    int rv = pooling_next(pooling, max_ids, max_bags, &unseen);
    if (rv > 0) {
        return 0;
    }
    if (feature_done(call, work->at.feature, feature, rv, unseen) != 0) {
        return -1;
    }
    end_feature(work, unseen);
    return 0;
}

static int do_step(struct call *call, struct work *work, uint64_t most)
{
    size_t i = work->at.feature;
    int rv = 0;
    if (work->at.out == NULL) {
        work->at.out = blocks_add(&work->writer, &work->heads[i]);
        rv = work->at.pool != NULL ? pool_begin(work) : 0;
    }
    if (rv != 0) {
        return feature_done(call, i, &work->features[i], rv, 0);
    }
    rv = !work->pools            ? look_up(call, work, most)
         : work->at.pool != NULL ? pool_next(call, work, most)
                                 : pool_whole(call, work);
    bool is_done = work->at.feature == work->n_features;
    return rv != 0 || work->is_small || is_done ? rv
                                                : call_check_deadline(call);
}

static uint64_t step_cost(struct call *call, const struct work *work)
{
    if (!work->in_turn) {
        return UINT64_MAX;
    }
    return cold_read_is_probing(call->service) ? STEP_COST_PROBED : STEP_COST;
}

static int do_steps(struct call *call)
{
    struct work *work = call->work;
    struct service *service = call->service;
    uint64_t most = step_cost(call, work);
    uint64_t end_ns = work->in_turn ? service->now_ns() + WORK_PIECE_NS : 0;
    if (work->in_turn && call_check_deadline(call) != 0) {
        return -1;
    }
    while (work->at.feature < work->n_features) {
        int rv = do_step(call, work, most);
        if (rv != 0) {
            return rv;
        }
        if (work->in_turn && work->at.feature < work->n_features &&
            service->now_ns() >= end_ns) {
            return 1;
        }
    }
    return 0;
}

int work_continue(struct call *call)
{
    int rv = do_steps(call);
    service_spend(call->service, SERVICE_LONG);
    return rv;
}

/* ---- the whole ------------------------------------------------------- */

static int make_pool(struct call *call, struct work *work)
{
    void *made;
    if (call_array(call, 1, sizeof(struct work_pool) + pooling_bytes(),
                   &made) != 0) {
        return -1;
    }
    work->at.pool = made;
    return 0;
}

int work_begin(struct call *call, struct table_set *tables, struct work *work)
{
    uint64_t cost = cost_of(work);
    work->is_small = cost <= SMALL_COST;
    bool is_large = call->if_large != CALL_WHOLE && !work->is_small;
    if (is_large && call->if_large == CALL_LATER) {
        call->is_later = true;
        return -1;
    }
    work->tables = tables;
    work->in_turn = is_large;
    if (!is_large &&
        cold_read_find(call, tables, work->features, work->n_features) != 0) {
        return -1;
    }
    if (feature_reserve(call, tables, work->heads, work->n_features,
                        &work->reply_bytes, &work->writer) != 0) {
        return -1;
    }
    if (is_large && work->pools && make_pool(call, work) != 0) {
        return -1;
    }
    call->work = work;
    service_spend(call->service, work->is_small ? cost : SERVICE_LONG);
    return do_steps(call);
}

void work_set_aside(struct work *work)
{
    table_set_ref(work->tables);
}

void work_drop(struct work *work)
{
    table_set_unref(work->tables);
}
