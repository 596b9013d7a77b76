/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Requests that come again with other ids are answered as if they were new. */
#include "server/request/plans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/nibble.pb-c.h"
#include "quant/bytes.h"
#include "server/request/rpc.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/service_fixture.h"

#define BODY_BYTES 8192u

static struct rng rng;
static struct outq out;
static struct plans *none; /* that knows no request, ever */
static uint8_t body[BODY_BYTES];
static size_t body_bytes;
static uint8_t frame[65536], frame_of_new[65536];

static void setup(void)
{
    fixture_open("--max-ids 4000 --max-bags 4000");
    outq_init(&out, &fixture_service.pool);
    none = plans_create();
    ck_assert_ptr_nonnull(none);
    rng.state = 7;
}

static void teardown(void)
{
    plans_destroy(none);
    outq_fini(&out);
    fixture_close();
}

static struct call make_call(uint16_t method)
{
    return (struct call){
        .service = &fixture_service,
        .out = &out,
        .method = method,
        .request_id = 5,
        .arrived_ns = 1000000000,
        .deadline_ns = UINT64_MAX,
        .arena = fixture_service.arena,
    };
}

/* As if it came behind another request, and so of any alignment. */
static void look_ahead(uint16_t method)
{
    uint8_t *odd = malloc(body_bytes + 1);
    ck_assert_ptr_nonnull(odd);
    memcpy(odd + 1, body, body_bytes);
    plans_prefetch(fixture_service.plans, method, odd + 1, body_bytes);
    free(odd);
}

static size_t ask(uint16_t method, uint8_t *to)
{
    look_ahead(method);
    struct call call = make_call(method);
    service_spend(&fixture_service, SERVICE_LONG);
    ck_assert(rpc_answer(&call, body, body_bytes));
    struct iovec vector;
    ck_assert_uint_eq(outq_gather(&out, &vector, 1), 1);
    ck_assert_uint_le(vector.iov_len, sizeof(frame));
    memcpy(to, vector.iov_base, vector.iov_len);
    outq_consume(&out, out.bytes);
    return vector.iov_len;
}

/* Asks as it is, and as the first request ever; true: that is the same. */
static bool is_the_same(uint16_t method)
{
    size_t bytes = ask(method, frame);
    struct plans *plans = fixture_service.plans;
    fixture_service.plans = none;
    size_t bytes_of_new = ask(method, frame_of_new);
    fixture_service.plans = plans;
    plans_forget(none);
    return bytes == bytes_of_new && memcmp(frame, frame_of_new, bytes) == 0;
}

static bool is_known(uint16_t method)
{
    uint32_t timeout_ms;
    struct call call = make_call(method);
    bool known = plans_recall(fixture_service.plans, &call, body, body_bytes,
                              &timeout_ms) != NULL;
    arena_reset(call.arena);
    return known;
}

/* ---- requests --------------------------------------------------------- */

#define MAX_FEATURES 4u
#define MAX_IDS      50u

/* Of features, everything but ids and weights. */
struct shape {
    uint16_t method;
    uint32_t dtype;
    size_t n_features;
    struct {
        const char *table;
        size_t n_ids;
        bool wide;
        bool weighted;
        uint32_t pooling;
        size_t n_bags;
        uint32_t lengths[MAX_IDS];
    } features[MAX_FEATURES];
};

static struct shape random_shape(void)
{
    struct shape shape = {
        .method =
            rng_below(&rng, 2) == 0 ? FRAME_METHOD_lookup : FRAME_METHOD_pool,
        .dtype = (uint32_t)rng_below(&rng, NB_PACKED),
        .n_features = 1 + rng_below(&rng, MAX_FEATURES),
    };
    for (size_t i = 0; i < shape.n_features; i++) {
        size_t n = rng_below(&rng, MAX_IDS);
        shape.features[i].table = rng_below(&rng, 2) == 0 ? "a" : "b";
        shape.features[i].n_ids = n;
        shape.features[i].wide = rng_below(&rng, 2) == 0;
        shape.features[i].pooling = (uint32_t)rng_below(&rng, NB_MAX + 1);
        shape.features[i].weighted =
            shape.features[i].pooling != NB_MAX && rng_below(&rng, 2) == 0;
        shape.features[i].n_bags = n == 0 ? 0 : 1 + rng_below(&rng, n);
        for (size_t bag = 0; bag < shape.features[i].n_bags; bag++) {
            shape.features[i].lengths[bag] = 1;
        }
        if (n > 0) {
            shape.features[i].lengths[0] +=
                (uint32_t)(n - shape.features[i].n_bags);
        }
    }
    return shape;
}

/* What both kinds of features have. */
#define PUT_IDS(to, of, wide_ids, narrow_ids)                                  \
    ((to)->table = (char *)(of)->table, (to)->ids = (wide_ids),                \
     (to)->ids32 = (narrow_ids), (to)->n_ids = (of)->wide ? (of)->n_ids : 0,   \
     (to)->n_ids32 = (of)->wide ? 0 : (of)->n_ids)

static void make_lookup(struct shape *shape, uint64_t ids[][MAX_IDS],
                        uint32_t ids32[][MAX_IDS])
{
    Nibble__V1__LookupRequest request = NIBBLE__V1__LOOKUP_REQUEST__INIT;
    Nibble__V1__LookupFeature features[MAX_FEATURES];
    Nibble__V1__LookupFeature *pointers[MAX_FEATURES];
    for (size_t i = 0; i < shape->n_features; i++) {
        nibble__v1__lookup_feature__init(&features[i]);
        PUT_IDS(&features[i], &shape->features[i], ids[i], ids32[i]);
        pointers[i] = &features[i];
    }
    request.dtype = (Nibble__V1__DType)shape->dtype;
    request.n_features = shape->n_features;
    request.features = pointers;
    body_bytes = nibble__v1__lookup_request__pack(&request, body);
}

static void make_pool(struct shape *shape, uint64_t ids[][MAX_IDS],
                      uint32_t ids32[][MAX_IDS], float weights[][MAX_IDS])
{
    Nibble__V1__PoolRequest request = NIBBLE__V1__POOL_REQUEST__INIT;
    Nibble__V1__PoolFeature features[MAX_FEATURES];
    Nibble__V1__PoolFeature *pointers[MAX_FEATURES];
    for (size_t i = 0; i < shape->n_features; i++) {
        nibble__v1__pool_feature__init(&features[i]);
        PUT_IDS(&features[i], &shape->features[i], ids[i], ids32[i]);
        if (shape->features[i].weighted) {
            features[i].n_weights = shape->features[i].n_ids;
            features[i].weights = weights[i];
        }
        features[i].pooling = (Nibble__V1__Pooling)shape->features[i].pooling;
        features[i].n_lengths = shape->features[i].n_bags;
        features[i].lengths = shape->features[i].lengths;
        pointers[i] = &features[i];
    }
    request.dtype = (Nibble__V1__DType)shape->dtype;
    request.n_features = shape->n_features;
    request.features = pointers;
    body_bytes = nibble__v1__pool_request__pack(&request, body);
}

/* With other ids and weights each time. */
static void make_body(struct shape *shape)
{
    uint64_t ids[MAX_FEATURES][MAX_IDS];
    uint32_t ids32[MAX_FEATURES][MAX_IDS];
    float weights[MAX_FEATURES][MAX_IDS];
    for (size_t i = 0; i < MAX_FEATURES; i++) {
        for (size_t k = 0; k < MAX_IDS; k++) {
            ids32[i][k] = (uint32_t)rng_below(&rng, FIXTURE_ROWS + 2);
            ids[i][k] = ids32[i][k];
            weights[i][k] = (float)rng_unit(&rng) + 0.5f;
        }
    }
    if (shape->method == FRAME_METHOD_lookup) {
        make_lookup(shape, ids, ids32);
    } else {
        make_pool(shape, ids, ids32, weights);
    }
}

static bool has_empty_array(const struct shape *shape)
{
    for (size_t i = 0; i < shape->n_features; i++) {
        if (shape->features[i].n_ids == 0) {
            return true;
        }
    }
    return false;
}

/* ---- tests ------------------------------------------------------------ */

START_TEST(other_ids_are_answered_alike)
{
    unsigned n_known = 0;
    for (unsigned round = 0; round < 200; round++) {
        struct shape shape = random_shape();
        if (round % 2 == 0) { /* else others are known, too */
            plans_forget(fixture_service.plans);
        }
        for (unsigned again = 0; again < 5; again++) {
            make_body(&shape);
            ck_assert(round % 2 != 0 || again < 2 || has_empty_array(&shape) ||
                      is_known(shape.method));
            n_known += is_known(shape.method);
            ck_assert(is_the_same(shape.method));
        }
    }
    ck_assert_uint_gt(n_known, 300);
}
END_TEST

/* Any byte changed, of ids or of what surrounds them. */
START_TEST(other_bytes_are_answered_alike)
{
    for (unsigned round = 0; round < 20; round++) {
        struct shape shape = random_shape();
        for (unsigned again = 0; again < 3; again++) {
            make_body(&shape);
            ask(shape.method, frame);
        }
        for (size_t i = 0; i < body_bytes; i++) {
            uint8_t was = body[i];
            body[i] ^= (uint8_t)(1u << rng_below(&rng, 8));
            ck_assert(is_the_same(shape.method));
            body[i] = was;
            ask(shape.method, frame);
        }
    }
}
END_TEST

/* As `n` ids one by one, and then in arrays of so many each; -1: no array. */
static void make_parts(unsigned n, const int arrays[2], uint8_t id)
{
    uint8_t *at = body + 2;
    memcpy(at,
           "\x0a\x01"
           "a",
           3); /* the table */
    at += 3;
    for (unsigned i = 0; i < n; i++) {
        *at++ = 0x11;
        put_u64(at, id);
        at += 8;
    }
    for (unsigned i = 0; i < 2 && arrays[i] >= 0; i++) {
        *at++ = 0x12;
        *at++ = (uint8_t)(arrays[i] * 8);
        for (int k = 0; k < arrays[i]; k++) {
            put_u64(at, id);
            at += 8;
        }
    }
    body_bytes = (size_t)(at - body);
    body[0] = 0x2a; /* a feature */
    body[1] = (uint8_t)(body_bytes - 2);
}

START_TEST(ids_in_parts_are_answered_alike)
{
    static const struct {
        unsigned n;
        int arrays[2];
    } kinds[] = {{2, {-1}}, {0, {1, 1}}, {0, {0, 2}}, {1, {1, -1}}};
    for (uint8_t again = 0; again < 8; again++) {
        make_parts(kinds[_i].n, kinds[_i].arrays, again / 4);
        ck_assert(is_the_same(FRAME_METHOD_lookup));
        const uint8_t *at = frame;
        struct fixture_frame answer;
        ck_assert(fixture_next_frame(&at, frame + sizeof(frame), &answer));
        ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
    }
}
END_TEST

/* A Pool of two packed ids with weights one by one; or a Lookup of an id by
 * itself, and of a feature with none in an array. */
static uint16_t make_odd(int kind, uint8_t value)
{
    static const uint8_t pool[] = {
        0x2a, 36, 0x0a, 1, 'a', 0x12, 16,   1,    0, 0, 0, 0,
        0,    0,  0,    2, 0,   0,    0,    0,    0, 0, 0, 0x1a,
        1,    2,  0x25, 0, 0,   0,    0x40, 0x25, 0, 0, 0, 0x40};
    static const uint8_t lookup[] = {0x2a, 12, 0x0a, 1, 'a', 0x11, 0,
                                     0,    0,  0,    0, 0,   0,    0,
                                     0x2a, 5,  0x0a, 1, 'a', 0x12, 0};
    if (kind == 0) {
        memcpy(body, pool, sizeof(pool));
        body_bytes = sizeof(pool);
        body[1] = (uint8_t)(sizeof(pool) - 2);
        body[29] = body[34] = value; /* of the weights */
        return FRAME_METHOD_pool;
    }
    memcpy(body, lookup, sizeof(lookup));
    body_bytes = sizeof(lookup);
    body[6] = value;
    return FRAME_METHOD_lookup;
}

/* Nothing that was decoded is pointed to when others have been. */
START_TEST(nothing_stale_is_used)
{
    struct shape other = {.method = FRAME_METHOD_lookup, .n_features = 4};
    for (unsigned i = 0; i < 4; i++) {
        other.features[i].table = "a";
        other.features[i].n_ids = MAX_IDS - i;
        other.features[i].wide = true;
    }
    for (uint8_t value = 1; value < 4; value++) {
        for (unsigned again = 0; again < 4; again++) {
            uint16_t method = make_odd(_i, value);
            ck_assert(is_the_same(method));
            const uint8_t *at = frame;
            struct fixture_frame answer;
            ck_assert(fixture_next_frame(&at, frame + sizeof(frame), &answer));
            ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
            if (again == 2) {
                make_body(&other);
                ask(other.method, frame);
            }
        }
    }
}
END_TEST

static void make_single(struct shape *shape, const char *table)
{
    *shape = (struct shape){.method = FRAME_METHOD_lookup, .n_features = 1};
    shape->features[0].table = table;
    shape->features[0].n_ids = 4;
}

static void ask_times(struct shape *shape, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        make_body(shape);
        ck_assert(is_the_same(shape->method));
    }
}

static bool knows(struct shape *shape)
{
    make_body(shape);
    return is_known(shape->method);
}

START_TEST(what_comes_once_is_not_kept)
{
    struct shape shape;
    make_single(&shape, "a");
    ask_times(&shape, 1);
    ck_assert(!knows(&shape));
    ask_times(&shape, 1);
    ck_assert(knows(&shape));
}
END_TEST

/* Two of a length, in turn; a third has to come more often. */
START_TEST(two_of_a_length_are_kept)
{
    struct shape a;
    struct shape b;
    struct shape third;
    make_single(&a, "a");
    make_single(&b, "b");
    make_single(&third, "c"); /* refused, and never kept */
    for (unsigned i = 0; i < 3; i++) {
        ask_times(&a, 1);
        ask_times(&b, 1);
        ask_times(&third, 1);
    }
    ck_assert(knows(&a));
    ck_assert(knows(&b));
    third = a;
    third.dtype = NB_FP16;
    b.dtype = NB_BF16; /* as long as that one */
    plans_forget(fixture_service.plans);
    a.dtype = NB_BF16;
    ask_times(&a, 2);
    ask_times(&b, 2);
    ck_assert(knows(&a) && knows(&b));
    ask_times(&third, 3);
    ck_assert(!knows(&third));
    ck_assert(knows(&a) && knows(&b));
    ask_times(&third, 20);
    ck_assert(knows(&third));
}
END_TEST

static void ask_in_time(uint32_t timeout_ms)
{
    Nibble__V1__LookupRequest request = NIBBLE__V1__LOOKUP_REQUEST__INIT;
    request.timeout_ms = timeout_ms;
    body_bytes = nibble__v1__lookup_request__pack(&request, body);
    ck_assert(is_the_same(FRAME_METHOD_lookup));
}

/* Each is held to its own. */
START_TEST(other_timeouts_are_answered_alike)
{
    for (uint32_t i = 0; i < 4; i++) {
        ask_in_time(50 - i);
    }
    ck_assert(is_known(FRAME_METHOD_lookup));
    fixture_now_ns = 1000000000 + 31 * 1000000;
    static const uint32_t timeouts[] = {30, 50, 32, 1};
    for (unsigned i = 0; i < 4; i++) {
        ask_in_time(timeouts[i]);
        ck_assert(is_known(FRAME_METHOD_lookup));
        const uint8_t *at = frame;
        struct fixture_frame answer;
        ck_assert(fixture_next_frame(&at, frame + sizeof(frame), &answer));
        ck_assert_uint_eq(answer.header.kind,
                          timeouts[i] < 31 ? FRAME_ERROR : FRAME_REPLY);
    }
}
END_TEST

/* Beyond 32 bits, cut short in the array, or told twice. */
START_TEST(odd_timeouts_are_answered_alike)
{
    static const struct {
        size_t bytes;
        uint8_t kept[8];
        uint8_t odd[8];
    } kinds[] = {
        {6,
         {0x18, 0x80, 0x80, 0x80, 0x80, 1},
         {0x18, 0xff, 0xff, 0xff, 0xff, 0x7f}},
        {3, {0x18, 0x80, 1}, {0x18, 1, 0x18}},
        {5, {0x18, 1, 0x20, 0x80, 0}, {0x18, 0x81, 0, 0x20, 0}},
        {4, {0x18, 1, 0x18, 50}, {0x18, 50, 0x18, 1}},
    };
    fixture_now_ns = 1000000000 + 31 * 1000000;
    body_bytes = kinds[_i].bytes;
    for (unsigned again = 0; again < 3; again++) {
        memcpy(body, kinds[_i].kept, body_bytes);
        ck_assert(is_the_same(FRAME_METHOD_lookup));
    }
    memcpy(body, kinds[_i].odd, body_bytes);
    ck_assert(is_the_same(FRAME_METHOD_lookup));
}
END_TEST

START_TEST(another_method_is_another_request)
{
    struct shape shape = {.method = FRAME_METHOD_pool, .n_features = 1};
    shape.features[0].table = "a";
    shape.features[0].n_ids = 4;
    shape.features[0].wide = true;
    shape.features[0].n_bags = 1;
    shape.features[0].lengths[0] = 4;
    for (unsigned again = 0; again < 3; again++) {
        make_body(&shape);
        ask(shape.method, frame);
    }
    ck_assert(is_known(FRAME_METHOD_pool));
    ck_assert(!is_known(FRAME_METHOD_lookup));
    ck_assert(is_the_same(FRAME_METHOD_lookup));
}
END_TEST

START_TEST(another_catalog_knows_nothing)
{
    struct catalog *empty;
    struct shape shape = random_shape();
    while (has_empty_array(&shape)) {
        shape = random_shape();
    }
    for (unsigned again = 0; again < 3; again++) {
        make_body(&shape);
        ask(shape.method, frame);
    }
    ck_assert(is_known(shape.method));
    ck_assert_int_eq(catalog_create(&empty), 0);
    service_switch(&fixture_service, empty);
    ck_assert(!is_known(shape.method));
    ck_assert(is_the_same(shape.method));
}
END_TEST

/* Of `n` features, and a few bytes beside, for a length modulo 8 of each kind;
 * true: it was kept. */
static bool keeps(const Nibble__V1__PoolFeature *feature, size_t n, size_t more)
{
    static const uint32_t timeouts[] = {0, 1, 200, 20000, 3000000, 400000000};
    static uint8_t large[1 << 17];
    Nibble__V1__PoolFeature *features[200];
    Nibble__V1__PoolRequest request = NIBBLE__V1__POOL_REQUEST__INIT;
    for (size_t i = 0; i < n; i++) {
        features[i] = (Nibble__V1__PoolFeature *)feature;
    }
    request.timeout_ms = timeouts[more % 6];
    request.version = more / 6;
    request.n_features = n;
    request.features = features;
    plans_forget(fixture_service.plans);
    size_t bytes = nibble__v1__pool_request__pack(&request, large);
    for (unsigned again = 0; again < 3; again++) {
        struct call call = make_call(FRAME_METHOD_pool);
        ck_assert(rpc_answer(&call, large, bytes));
        outq_consume(&out, out.bytes);
    }
    uint32_t timeout_ms;
    struct call call = make_call(FRAME_METHOD_pool);
    bool known = plans_recall(fixture_service.plans, &call, large, bytes,
                              &timeout_ms) != NULL;
    arena_reset(call.arena);
    return known;
}

/* Room for bytes around ids, for features, for their bags, and for arrays: so
 * many features are kept, and not one more. Wherever they would be. */
START_TEST(much_is_not_kept)
{
    static const struct {
        size_t most;
        size_t n_ids;
        size_t n_weights;
        size_t n_lengths;
    } kinds[] = {
        {3, 1000, 0, 1000}, {161, 0, 0, 0}, {106, 0, 0, 10}, {64, 1, 1, 1}};
    static uint64_t ids[2000];
    static float weights[2000];
    static uint32_t lengths[2000];
    Nibble__V1__PoolFeature feature = NIBBLE__V1__POOL_FEATURE__INIT;
    for (size_t i = 0; i < 2000; i++) {
        lengths[i] = kinds[_i].n_ids != 0;
    }
    feature.ids = ids;
    feature.weights = weights;
    feature.lengths = lengths;
    feature.table = "a";
    feature.n_ids = kinds[_i].n_ids;
    feature.n_weights = kinds[_i].n_weights;
    feature.n_lengths = kinds[_i].n_lengths;
    for (size_t i = 0; i < 12; i++) {
        ck_assert(keeps(&feature, kinds[_i].most, i));
        ck_assert(!keeps(&feature, kinds[_i].most + 1, i));
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("plans");
    TCase *tcase = tcase_create("plans");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, other_ids_are_answered_alike);
    tcase_add_test(tcase, other_bytes_are_answered_alike);
    tcase_add_loop_test(tcase, ids_in_parts_are_answered_alike, 0, 4);
    tcase_add_loop_test(tcase, nothing_stale_is_used, 0, 2);
    tcase_add_test(tcase, what_comes_once_is_not_kept);
    tcase_add_test(tcase, two_of_a_length_are_kept);
    tcase_add_test(tcase, other_timeouts_are_answered_alike);
    tcase_add_loop_test(tcase, odd_timeouts_are_answered_alike, 0, 4);
    tcase_add_test(tcase, another_method_is_another_request);
    tcase_add_test(tcase, another_catalog_knows_nothing);
    tcase_add_loop_test(tcase, much_is_not_kept, 0, 4);
    suite_add_tcase(suite, tcase);
    return suite;
}
