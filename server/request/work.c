/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/work.h"

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
    work->in_turn = false;
    work->is_warm = false;
    work->feature = 0;
    work->id = 0;
    work->bag = 0;
    work->unseen = 0;
    work->out = NULL;
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
static bool is_small(const struct work *work)
{
    uint64_t cost = 0;
    for (size_t i = 0; i < work->n_features; i++) {
        const struct feature *feature = &work->features[i];
        cost += feature->ids.n * cost_of_id(work, i) +
                feature->n_bags * cost_of_bag(work, i);
    }
    return cost <= SMALL_COST;
}

/* ---- steps ----------------------------------------------------------- */

/* The part of the feature that is done next, at most that much. */
static struct feature next_part(const struct work *work, uint64_t most)
{
    const struct feature *whole = &work->features[work->feature];
    uint64_t cost_id = cost_of_id(work, work->feature);
    struct feature part = *whole;
    if (!work->in_turn) {
        return part;
    }
    size_t left = whole->ids.n - work->id;
    part.ids.n = left;
    part.n_bags = whole->n_bags - work->bag;
    if (work->pools) {
        uint64_t cost_bag = cost_of_bag(work, work->feature);
        uint64_t cost = 0;
        size_t n = 0;
        size_t ids = 0;
        while (n < part.n_bags && cost < most) {
            ids += whole->lengths[work->bag + n];
            cost = ids * cost_id + ++n * cost_bag;
        }
        part.n_bags = n;
        part.ids.n = ids;
    } else if (left > most / cost_id) {
        part.ids.n = most > cost_id ? most / cost_id : 1;
    }
    if (part.ids.u32 != NULL) {
        part.ids.u32 += work->id;
    } else if (part.ids.u64 != NULL) {
        part.ids.u64 += work->id;
    }
    if (part.weights != NULL) {
        part.weights += work->id;
    }
    if (part.lengths != NULL) {
        part.lengths += work->bag;
    }
    return part;
}

static int compute(const struct work *work, const struct feature *part,
                   uint64_t *unseen)
{
    if (!work->pools) {
        const struct nb_lookup lookup = {
            .ids = part->ids,
            .dtype = work->dtype,
            .unseen = part->entry->unseen,
        };
        return nb_lookup(part->entry->rows, &lookup, work->out, unseen);
    }
    const struct nb_pool pool = {
        .ids = part->ids,
        .lengths = part->lengths,
        .n_bags = part->n_bags,
        .weights = part->weights,
        .pooling = part->pooling,
        .dtype = work->dtype,
        .unseen = part->entry->unseen,
    };
    return nb_pool(part->entry->rows, &pool, work->out, unseen);
}

/* Steps over the part, and at its end over the feature. */
static void step_over(struct work *work, const struct feature *part)
{
    const struct feature *whole = &work->features[work->feature];
    size_t rows = work->pools ? part->n_bags : part->ids.n;
    work->id += part->ids.n;
    work->bag += part->n_bags;
    work->out += rows * work->heads[work->feature].row_bytes;
    if (work->id == whole->ids.n && work->bag == whole->n_bags) {
        blocks_end(&work->writer, (uint32_t)work->unseen);
        work->feature++;
        work->id = 0;
        work->bag = 0;
        work->unseen = 0;
        work->out = NULL;
    }
}

static int do_step(struct call *call, struct work *work, uint64_t most)
{
    if (work->out == NULL) {
        work->out = blocks_add(&work->writer, &work->heads[work->feature]);
    }
    struct feature part = next_part(work, most);
    if (work->in_turn && !work->is_warm &&
        cold_read_find(call, work->tables, &part, 1) != 0) {
        work->is_warm = true;
        return 1;
    }
    work->is_warm = false;
    uint64_t unseen = 0;
    int rv = compute(work, &part, &unseen);
    if (feature_done(call, work->feature, &part, rv, unseen) != 0) {
        return -1;
    }
    work->unseen += unseen;
    step_over(work, &part);
    return work->is_small ? 0 : call_check_deadline(call);
}

static uint64_t step_cost(struct call *call, const struct work *work)
{
    if (!work->in_turn) {
        return UINT64_MAX;
    }
    return cold_read_is_probing(call->service) ? STEP_COST_PROBED : STEP_COST;
}

int work_continue(struct call *call)
{
    struct work *work = call->work;
    struct service *service = call->service;
    uint64_t most = step_cost(call, work);
    uint64_t end_ns = work->in_turn ? service->now_ns() + WORK_PIECE_NS : 0;
    if (work->in_turn && call_check_deadline(call) != 0) {
        return -1;
    }
    while (work->feature < work->n_features) {
        int rv = do_step(call, work, most);
        if (rv != 0) {
            return rv;
        }
        if (work->in_turn && work->feature < work->n_features &&
            service->now_ns() >= end_ns) {
            return 1;
        }
    }
    return 0;
}

/* ---- the whole ------------------------------------------------------- */

int work_begin(struct call *call, struct table_set *tables, struct work *work)
{
    work->is_small = is_small(work);
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
                        &work->writer) != 0) {
        return -1;
    }
    call->work = work;
    return work_continue(call);
}

void work_set_aside(struct work *work)
{
    table_set_ref(work->tables);
}

void work_drop(struct work *work)
{
    table_set_unref(work->tables);
}
