/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/plans.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"
#include "quant/row_prefetch.h"
#include "server/request/request_scan.h"

#define N_PLANS    16u /* two places each for bodies of a length */
#define N_LENGTHS  64u
#define MAX_ARRAYS 129u /* of 64 weighted features, and the timeout */
#define KEPT_BYTES 16384u

/* More is not fetched before its turn: tried, and slower. */
#define PREFETCHED_BYTES 4096u
#define LINE_BYTES       64u

/* So many others of its length are not kept after a plan was of use. */
#define LIVES 8u

/* A body is rest, array, rest, array, ..., rest. */
struct plan {
    size_t bytes; /* of the body kept; 0: there is none */
    unsigned lives;
    uint16_t method;
    uint32_t timeout_ms; /* unless an array tells */
    size_t n_arrays;
    size_t work_bytes; /* with lengths */
    bool is_prefetched;
    struct request_array arrays[MAX_ARRAYS];
    /* The work, lengths of its bags, and the rest of the body. */
    _Alignas(16) uint8_t kept[KEPT_BYTES];
};

struct plans {
    size_t seen_bytes[N_LENGTHS]; /* of bodies last decoded */
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
    }
    memset(plans->seen_bytes, 0, sizeof(plans->seen_bytes));
}

/* Lengths differ by a few bytes where names do, by many where ids do. */
static size_t hash(size_t bytes)
{
    return bytes / 8 + bytes;
}

static size_t place(size_t bytes, size_t way)
{
    return hash(bytes) % N_PLANS ^ way;
}

static struct plan *place_of(struct plans *plans, size_t bytes, size_t way)
{
    return &plans->plans[place(bytes, way)];
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

static bool is_ids(const struct request_array *array)
{
    return array->kind == REQUEST_IDS64 || array->kind == REQUEST_IDS32;
}

/* Of each; ids of 32 bits and weights are alike. */
static size_t value_bytes(const struct request_array *array)
{
    return array->kind == REQUEST_IDS64 ? sizeof(uint64_t) : sizeof(uint32_t);
}

/* Does the array hold all of what the feature has of its kind? */
static bool is_whole(const struct request_array *array,
                     const struct feature *feature)
{
    return array->bytes == feature->ids.n * value_bytes(array);
}

/* Are the features' ids and weights these arrays, each of one piece? */
static bool are_arrays(const struct request_array *arrays, size_t n,
                       const struct work *work)
{
    size_t n_of[REQUEST_ARRAY_KINDS] = {0};
    for (size_t i = 0; i < n; i++) {
        n_of[arrays[i].kind]++;
        if (arrays[i].kind != REQUEST_TIMEOUT &&
            (arrays[i].bytes == 0 || arrays[i].feature >= work->n_features ||
             !is_whole(&arrays[i], &work->features[arrays[i].feature]))) {
            return false;
        }
    }
    size_t n_ids = n_of[REQUEST_IDS64] + n_of[REQUEST_IDS32];
    size_t n_weights = n_of[REQUEST_WEIGHTS];
    for (size_t i = 0; i < work->n_features; i++) {
        n_ids -= work->features[i].ids.n != 0;
        n_weights -= work->features[i].weights != NULL;
    }
    return n_ids == 0 && n_weights == 0;
}

/* As protobuf has it, cut to 32 bits. */
static int put_timeout(const struct request_array *array, const uint8_t *body,
                       uint32_t *timeout_ms)
{
    struct wire wire = {body + array->at, body + array->at + array->bytes};
    uint64_t value;
    if (wire_varint(&wire, &value) != 0 || wire.at != wire.end) {
        return -1;
    }
    *timeout_ms = (uint32_t)value;
    return 0;
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

/* As work_create() lays it out, and lengths behind it. */
static bool keep_work(struct plan *plan, const struct work *work)
{
    size_t bytes = work_bytes(work->n_features);
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
    work_rewind((void *)plan->kept);
    return true;
}

/* A copy of what was kept: what it points to is beside it. */
static void place_work(struct work *work)
{
    work_rewind(work);
    const uint8_t *lengths =
        (const uint8_t *)work + work_bytes(work->n_features);
    for (size_t i = 0; i < work->n_features; i++) {
        struct feature *feature = &work->features[i];
        feature->lengths = (const void *)lengths;
        lengths += feature->n_bags * sizeof(uint32_t);
    }
}

/* ---- the whole -------------------------------------------------------- */

/* Is that the plan of a body of that length? */
static bool is_of(const struct plan *plan, uint16_t method, size_t bytes)
{
    return plan->bytes == bytes && plan->method == method && bytes != 0;
}

/* The plan of that body; NULL: there is none. */
static struct plan *find(struct plans *plans, const struct call *call,
                         const uint8_t *body, size_t bytes)
{
    for (size_t way = 0; way < 2; way++) {
        struct plan *plan = place_of(plans, bytes, way);
        if (is_of(plan, call->method, bytes) && is_rest(plan, body)) {
            return plan;
        }
    }
    return NULL;
}

void plans_prefetch(const struct plans *plans, uint16_t method,
                    const uint8_t *body, size_t bytes)
{
    const struct plan *plan = &plans->plans[place(bytes, 0)];
    if (!is_of(plan, method, bytes) || !plan->is_prefetched) {
        return;
    }
    const struct work *work = (const void *)plan->kept;
    for (size_t i = 0; i < plan->n_arrays; i++) {
        const struct request_array *array = &plan->arrays[i];
        if (is_ids(array)) {
            rows_prefetch(work->features[array->feature].entry->rows,
                          body + array->at, array->bytes / value_bytes(array),
                          value_bytes(array));
        }
    }
}

struct work *plans_recall(struct plans *plans, struct call *call,
                          const uint8_t *body, size_t bytes,
                          uint32_t *timeout_ms)
{
    struct plan *plan = find(plans, call, body, bytes);
    if (plan == NULL) {
        return NULL;
    }
    struct work *work = arena_alloc(call->arena, plan->work_bytes);
    if (work == NULL) {
        return NULL;
    }
    memcpy(work, plan->kept, plan->work_bytes);
    place_work(work);
    *timeout_ms = plan->timeout_ms;
    for (size_t i = 0; i < plan->n_arrays; i++) {
        const struct request_array *array = &plan->arrays[i];
        int rv =
            array->kind == REQUEST_TIMEOUT
                ? put_timeout(array, body, timeout_ms)
                : put_array(call, array, body, &work->features[array->feature]);
        if (rv != 0) {
            return NULL;
        }
    }
    plan->lives = LIVES;
    return work;
}

/* Are its rows so few that it pays? A row takes half a line at either end. */
static bool is_prefetched(const struct work *work)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < work->n_features; i++) {
        const struct feature *feature = &work->features[i];
        bytes += feature->ids.n * (feature->entry->row_bytes + LINE_BYTES);
    }
    return bytes <= PREFETCHED_BYTES;
}

/* Where to keep another; NULL: what is there is of use. */
static struct plan *find_room(struct plans *plans, size_t bytes)
{
    for (size_t way = 0; way < 2; way++) {
        if (place_of(plans, bytes, way)->bytes == 0) {
            return place_of(plans, bytes, way);
        }
    }
    for (size_t way = 0; way < 2; way++) {
        struct plan *plan = place_of(plans, bytes, way);
        if (plan->lives == 0) {
            return plan;
        }
        plan->lives--;
    }
    return NULL;
}

void plans_keep(struct plans *plans, const struct call *call,
                const ProtobufCMessageDescriptor *request, const uint8_t *body,
                size_t bytes)
{
    const struct work *work = call->work;
    size_t *seen_bytes = &plans->seen_bytes[hash(bytes) % N_LENGTHS];
    bool again = *seen_bytes == bytes;
    *seen_bytes = bytes;
    struct plan *plan = again && work_bytes(work->n_features) <= KEPT_BYTES
                            ? find_room(plans, bytes)
                            : NULL;
    if (plan == NULL) {
        return;
    }
    plan->bytes = 0;
    plan->lives = 0;
    plan->method = call->method;
    plan->timeout_ms = call->timeout_ms;
    plan->is_prefetched = is_prefetched(work);
    plan->n_arrays =
        request_arrays(request, body, bytes, plan->arrays, MAX_ARRAYS);
    if (plan->n_arrays <= MAX_ARRAYS &&
        are_arrays(plan->arrays, plan->n_arrays, work) &&
        keep_work(plan, work) && keep_rest(plan, body, bytes)) {
        plan->bytes = bytes;
    }
}
