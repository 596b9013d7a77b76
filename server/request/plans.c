/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/plans.h"

#include <stdlib.h>
#include <string.h>

#include "server/request/request_scan.h"

#define N_PLANS    8u
#define MAX_ARRAYS 128u
#define KEPT_BYTES 16384u

/* A body is rest, array, rest, array, ..., rest. */
struct plan {
    size_t seen_bytes; /* of the body last asked for here */
    size_t bytes;      /* of the body kept; 0: there is none */
    uint16_t method;
    uint32_t timeout_ms;
    size_t n_arrays;
    size_t work_bytes; /* with lengths */
    struct request_array arrays[MAX_ARRAYS];
    /* The work, lengths of its bags, and the rest of the body. */
    _Alignas(16) uint8_t kept[KEPT_BYTES];
};

struct plans {
    struct plan plans[N_PLANS];
};

struct plans *plans_create(void)
{
    return calloc(1, sizeof(struct plans));
}

void plans_destroy(struct plans *plans)
{
    free(plans);
}

void plans_forget(struct plans *plans)
{
    for (size_t i = 0; i < N_PLANS; i++) {
        plans->plans[i].bytes = 0;
        plans->plans[i].seen_bytes = 0;
    }
}

static size_t place_of(size_t bytes)
{
    return (bytes / 8 + bytes) % N_PLANS;
}

/* ---- the rest of a body ------------------------------------------------- */

/* Walks what stands between the arrays: of the body at *from, `n` bytes, which
 * are those at *at of the rest. False at the end. */
struct gap {
    size_t next; /* array behind it */
    size_t from;
    size_t n;
    size_t at;
};

static bool next_gap(const struct plan *plan, size_t bytes, struct gap *gap)
{
    if (gap->next > plan->n_arrays) {
        return false;
    }
    gap->at += gap->n;
    gap->from = 0;
    if (gap->next > 0) {
        const struct request_array *before = &plan->arrays[gap->next - 1];
        gap->from = before->at + before->bytes;
    }
    size_t end =
        gap->next < plan->n_arrays ? plan->arrays[gap->next].at : bytes;
    gap->n = end - gap->from;
    gap->next++;
    return true;
}

static bool is_rest(const struct plan *plan, const uint8_t *body)
{
    const uint8_t *rest = plan->kept + plan->work_bytes;
    struct gap gap = {0};
    while (next_gap(plan, plan->bytes, &gap)) {
        if (memcmp(body + gap.from, rest + gap.at, gap.n) != 0) {
            return false;
        }
    }
    return true;
}

static bool keep_rest(struct plan *plan, const uint8_t *body, size_t bytes)
{
    uint8_t *rest = plan->kept + plan->work_bytes;
    struct gap gap = {0};
    while (next_gap(plan, bytes, &gap)) {
        if (gap.n > KEPT_BYTES - plan->work_bytes - gap.at) {
            return false;
        }
        memcpy(rest + gap.at, body + gap.from, gap.n);
    }
    return true;
}

/* ---- arrays ----------------------------------------------------------- */

/* Does the array hold all of what the feature has of its kind? */
static bool is_whole(const struct request_array *array,
                     const struct feature *feature)
{
    size_t n = feature->ids.n;
    switch (array->kind) {
    case REQUEST_IDS64:
        return array->bytes == n * sizeof(uint64_t);
    case REQUEST_IDS32:
        return array->bytes == n * sizeof(uint32_t);
    default:
        return array->bytes == n * sizeof(float);
    }
}

/* Are the features' ids and weights these arrays, each of one piece? */
static bool are_arrays(const struct request_array *arrays, size_t n,
                       const struct work *work)
{
    size_t n_ids = 0;
    size_t n_weights = 0;
    for (size_t i = 0; i < n; i++) {
        if (arrays[i].bytes == 0 || arrays[i].feature >= work->n_features ||
            !is_whole(&arrays[i], &work->features[arrays[i].feature])) {
            return false;
        }
        if (arrays[i].kind == REQUEST_WEIGHTS) {
            n_weights++;
        } else {
            n_ids++;
        }
    }
    for (size_t i = 0; i < work->n_features; i++) {
        n_ids -= work->features[i].ids.n != 0;
        n_weights -= work->features[i].weights != NULL;
    }
    return n_ids == 0 && n_weights == 0;
}

static int put_array(struct call *call, const struct request_array *array,
                     const uint8_t *body, struct feature *feature)
{
    void *values = arena_alloc(call->arena, array->bytes);
    if (values == NULL) {
        return -1;
    }
    memcpy(values, body + array->at, array->bytes);
    switch (array->kind) {
    case REQUEST_IDS64:
        feature->ids.u64 = values;
        break;
    case REQUEST_IDS32:
        feature->ids.u32 = values;
        break;
    default:
        feature->weights = values;
    }
    return 0;
}

/* ---- works ------------------------------------------------------------ */

/* Of the work as work_create() lays it out, and lengths behind it. */
static size_t lengths_at(size_t n_features)
{
    return work_bytes(n_features);
}

static bool keep_work(struct plan *plan, const struct work *work)
{
    size_t bytes = lengths_at(work->n_features);
    if (bytes > KEPT_BYTES) {
        return false;
    }
    memcpy(plan->kept, work, bytes);
    for (size_t i = 0; i < work->n_features; i++) {
        const struct feature *feature = &work->features[i];
        size_t more = feature->n_bags * sizeof(uint32_t);
        if (more > KEPT_BYTES - bytes) {
            return false;
        }
        if (more > 0) {
            memcpy(plan->kept + bytes, feature->lengths, more);
        }
        bytes += more;
    }
    plan->work_bytes = bytes;
    return true;
}

/* A copy of what was kept: what it points to is beside it. */
static void place_work(struct work *work)
{
    work_rewind(work);
    const uint8_t *lengths =
        (const uint8_t *)work + lengths_at(work->n_features);
    for (size_t i = 0; i < work->n_features; i++) {
        struct feature *feature = &work->features[i];
        feature->lengths = (const void *)lengths;
        lengths += feature->n_bags * sizeof(uint32_t);
    }
}

/* ---- the whole -------------------------------------------------------- */

struct work *plans_recall(const struct plans *plans, struct call *call,
                          const uint8_t *body, size_t bytes,
                          uint32_t *timeout_ms)
{
    const struct plan *plan = &plans->plans[place_of(bytes)];
    if (bytes == 0 || plan->bytes != bytes || plan->method != call->method ||
        !is_rest(plan, body)) {
        return NULL;
    }
    struct work *work = arena_alloc(call->arena, plan->work_bytes);
    if (work == NULL) {
        return NULL;
    }
    memcpy(work, plan->kept, plan->work_bytes);
    place_work(work);
    for (size_t i = 0; i < plan->n_arrays; i++) {
        const struct request_array *array = &plan->arrays[i];
        if (put_array(call, array, body, &work->features[array->feature])) {
            return NULL;
        }
    }
    *timeout_ms = plan->timeout_ms;
    return work;
}

void plans_keep(struct plans *plans, const struct call *call,
                const ProtobufCMessageDescriptor *request, const uint8_t *body,
                size_t bytes)
{
    const struct work *work = call->work;
    struct plan *plan = &plans->plans[place_of(bytes)];
    bool again = plan->seen_bytes == bytes;
    plan->seen_bytes = bytes;
    if (!again) {
        return;
    }
    plan->bytes = 0;
    plan->method = call->method;
    plan->timeout_ms = call->timeout_ms;
    plan->n_arrays =
        request_arrays(request, body, bytes, plan->arrays, MAX_ARRAYS);
    if (plan->n_arrays <= MAX_ARRAYS &&
        are_arrays(plan->arrays, plan->n_arrays, work) &&
        keep_work(plan, work) && keep_rest(plan, body, bytes)) {
        plan->bytes = bytes;
    }
}
