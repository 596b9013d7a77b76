/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Handlers without sockets: a body in, a frame out. */
#include "server/request/rpc.h"

#include <stdlib.h>
#include <string.h>

#include "proto/blocks.h"
#include "proto/nibble.pb-c.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/service_fixture.h"

static struct outq out;
static struct fixture_frame answer;

static void setup_with(const char *flags)
{
    fixture_open(flags);
    outq_init(&out, &fixture_service.pool);
}

static void setup(void)
{
    setup_with("--max-ids 100 --max-bags 20 --max-features 4 "
               "--max-reply-bytes 4096");
}

static void teardown(void)
{
    outq_fini(&out);
    fixture_close();
}

/* Answers one request; the frame is in `answer`. */
static void ask(uint16_t method, const void *body, size_t bytes)
{
    outq_consume(&out, out.bytes);
    struct call call = {
        .service = &fixture_service,
        .out = &out,
        .method = method,
        .request_id = 5,
        .arrived_ns = 1000000000,
        .deadline_ns = UINT64_MAX,
    };
    ck_assert(rpc_answer(&call, body, bytes));
    ck_assert_uint_eq(fixture_service.arena->used, 0);
    struct iovec vector;
    ck_assert_uint_eq(outq_gather(&out, &vector, 1), 1);
    const uint8_t *at = vector.iov_base;
    const uint8_t *end = at + vector.iov_len;
    ck_assert(fixture_next_frame(&at, end, &answer));
    ck_assert_ptr_eq(at, end);
    ck_assert_uint_eq(answer.header.request_id, 5);
    ck_assert_uint_eq(answer.header.method, method);
}

static void ask_message(uint16_t method, const ProtobufCMessage *message)
{
    uint8_t body[8192];
    ck_assert_uint_le(protobuf_c_message_get_packed_size(message),
                      sizeof(body));
    ask(method, body, protobuf_c_message_pack(message, body));
}

static void expect_error(uint32_t code, const char *text)
{
    ck_assert_uint_eq(answer.header.kind, FRAME_ERROR);
    Nibble__V1__Error *error =
        nibble__v1__error__unpack(NULL, answer.header.body_bytes, answer.body);
    ck_assert_ptr_nonnull(error);
    ck_assert_str_eq(error->message, text);
    ck_assert_uint_eq(error->code, code);
    nibble__v1__error__free_unpacked(error, NULL);
}

static uint64_t few_ids[] = {0, 39, 40, 1};

START_TEST(lookup_decodes_into_the_reply)
{
    Nibble__V1__LookupFeature feature = NIBBLE__V1__LOOKUP_FEATURE__INIT;
    feature.table = "b";
    feature.n_ids = 4;
    feature.ids = few_ids;
    Nibble__V1__LookupFeature *features[] = {&feature, &feature};
    Nibble__V1__LookupRequest request = NIBBLE__V1__LOOKUP_REQUEST__INIT;
    request.n_features = 2;
    request.features = features;
    ask_message(FRAME_METHOD_lookup, &request.base);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);

    const struct table_entry *entry =
        table_set_find(catalog_at(fixture_service.catalog, 0)->tables, "b");
    const struct nb_lookup lookup = {.ids = {.u64 = few_ids, .n = 4}};
    float expected[4 * FIXTURE_DIM_B];
    uint64_t unseen;
    ck_assert_int_eq(nb_lookup(entry->rows, &lookup, expected, &unseen), 0);

    struct blocks_reader reader;
    struct block_view view;
    ck_assert_int_eq(
        blocks_open(&reader, answer.body, answer.header.body_bytes, NULL), 0);
    ck_assert_uint_eq(reader.version, 1);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(blocks_next(&reader, &view, NULL), 1);
        ck_assert_uint_eq(view.unseen, 1);
        ck_assert_uint_eq(view.head.rows, 4);
        ck_assert_mem_eq(view.values, expected, sizeof(expected));
    }
    struct table_totals totals;
    table_stats_sum(entry->stats, &totals);
    ck_assert_uint_eq(totals.ids, 8);
    ck_assert_uint_eq(totals.bags, 0);
    ck_assert_uint_eq(totals.unseen, 2);
}
END_TEST

static Nibble__V1__PoolFeature pool_feature = NIBBLE__V1__POOL_FEATURE__INIT;

static void ask_pool(void (*change)(Nibble__V1__PoolRequest *request))
{
    static uint32_t lengths[] = {1, 3};
    static float weights[] = {1, 2, 3, 4};
    pool_feature.table = "a";
    pool_feature.n_ids = 4;
    pool_feature.ids = few_ids;
    pool_feature.n_lengths = 2;
    pool_feature.lengths = lengths;
    pool_feature.n_weights = 4;
    pool_feature.weights = weights;
    Nibble__V1__PoolFeature *features[] = {&pool_feature, &pool_feature,
                                           &pool_feature, &pool_feature,
                                           &pool_feature};
    Nibble__V1__PoolRequest request = NIBBLE__V1__POOL_REQUEST__INIT;
    request.n_features = 1;
    request.features = features;
    change(&request);
    ask_message(FRAME_METHOD_pool, &request.base);
}

static void nothing(Nibble__V1__PoolRequest *request)
{
    (void)request;
}

START_TEST(pool_writes_one_row_a_bag)
{
    ask_pool(nothing);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
    struct blocks_reader reader;
    struct block_view view;
    ck_assert_int_eq(
        blocks_open(&reader, answer.body, answer.header.body_bytes, NULL), 0);
    ck_assert_int_eq(blocks_next(&reader, &view, NULL), 1);
    ck_assert_uint_eq(view.head.rows, 2);
    ck_assert_uint_eq(view.head.dim, FIXTURE_DIM_A);
    ck_assert_uint_eq(view.unseen, 1);
}
END_TEST

static void both_ids(Nibble__V1__PoolRequest *request)
{
    static uint32_t ids32[] = {1};
    request->features[0]->n_ids32 = 1;
    request->features[0]->ids32 = ids32;
}

static void wrong_sum(Nibble__V1__PoolRequest *request)
{
    request->features[0]->n_lengths = 1;
}

static void few_weights(Nibble__V1__PoolRequest *request)
{
    request->features[0]->n_weights = 3;
}

static void weighted_max(Nibble__V1__PoolRequest *request)
{
    request->features[0]->pooling = NIBBLE__V1__POOLING__MAX;
}

static void negative_pooling(Nibble__V1__PoolRequest *request)
{
    request->features[0]->pooling = (Nibble__V1__Pooling)-1;
}

static void packed(Nibble__V1__PoolRequest *request)
{
    request->dtype = NIBBLE__V1__DTYPE__PACKED;
}

static void negative_dtype(Nibble__V1__PoolRequest *request)
{
    request->dtype = (Nibble__V1__DType)-1;
}

static void no_table(Nibble__V1__PoolRequest *request)
{
    request->features[0]->table = "c\x01\xff";
}

static void other_model(Nibble__V1__PoolRequest *request)
{
    request->model = "m";
}

static void other_version(Nibble__V1__PoolRequest *request)
{
    request->version = UINT64_MAX;
}

static void many_features(Nibble__V1__PoolRequest *request)
{
    request->n_features = 5;
}

static void many_ids(Nibble__V1__PoolRequest *request)
{
    static uint64_t ids[101];
    request->features[0]->n_ids = 101;
    request->features[0]->ids = ids;
}

static void many_bags(Nibble__V1__PoolRequest *request)
{
    static uint32_t lengths[21];
    request->features[0]->n_lengths = 21;
    request->features[0]->lengths = lengths;
}

static const struct {
    void (*change)(Nibble__V1__PoolRequest *request);
    uint32_t code;
    const char *text;
} refusals[] = {
    {both_ids, RPC_INVALID_ARGUMENT, "features[0]: both ids and ids32 are set"},
    {wrong_sum, RPC_INVALID_ARGUMENT, "features[0].lengths: sum 1, but 4 ids"},
    {few_weights, RPC_INVALID_ARGUMENT,
     "features[0].weights: 3 weights, but 4 ids"},
    {weighted_max, RPC_INVALID_ARGUMENT, "features[0].weights: not with MAX"},
    {negative_pooling, RPC_INVALID_ARGUMENT,
     "features[0].pooling: 4294967295 is not known"},
    {packed, RPC_INVALID_ARGUMENT, "dtype: PACKED is for Lookup only"},
    {negative_dtype, RPC_INVALID_ARGUMENT, "dtype: 4294967295 is not known"},
    {no_table, RPC_NOT_FOUND,
     "features[0].table: no table 'c?\?', there is a, b"},
    {other_model, RPC_NOT_FOUND, "model: no model 'm', there is default"},
    {other_version, RPC_NOT_FOUND,
     "version: 18446744073709551615 is not loaded, 1 is served"},
    {many_features, RPC_RESOURCE_EXHAUSTED, "features: over 4 in the request"},
    {many_ids, RPC_RESOURCE_EXHAUSTED,
     "features[0].ids: over 100 in the request"},
    {many_bags, RPC_RESOURCE_EXHAUSTED,
     "features[0].lengths: over 20 bags in the request"},
};

START_TEST(refused_requests)
{
    ask_pool(refusals[_i].change);
    expect_error(refusals[_i].code, refusals[_i].text);
    const struct counters *counters = fixture_service.counters;
    ck_assert_uint_eq(counters->methods[METHOD_pool].requests, 1);
    ck_assert_uint_eq(counters->methods[METHOD_pool].codes[refusals[_i].code],
                      1);
}
END_TEST

static void huge(Nibble__V1__PoolRequest *request)
{
    static uint32_t lengths[20] = {4};
    request->n_features = 4;
    request->features[0]->n_lengths = 20;
    request->features[0]->lengths = lengths;
    request->dtype = NIBBLE__V1__DTYPE__FP32;
}

START_TEST(replies_over_the_limit)
{
    teardown();
    setup_with("--max-reply-bytes 1000");
    ask_pool(huge);
    expect_error(RPC_RESOURCE_EXHAUSTED,
                 "features: the reply is over the limit of 1000 bytes");
}
END_TEST

static void in_a_second(Nibble__V1__PoolRequest *request)
{
    request->timeout_ms = 1000;
}

START_TEST(deadlines_count_from_the_arrival)
{
    fixture_now_ns = 2000000000;
    ask_pool(in_a_second);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
    fixture_now_ns = 2000000001;
    ask_pool(in_a_second);
    expect_error(RPC_DEADLINE_EXCEEDED,
                 "timeout_ms: passed; 1000 ms since the request came");
    ck_assert_uint_eq(fixture_service.counters->methods[METHOD_pool]
                          .codes[RPC_DEADLINE_EXCEEDED],
                      1);
    fixture_now_ns = UINT64_MAX;
    ask_pool(nothing);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
}
END_TEST

START_TEST(what_is_no_request)
{
    ask(9, "", 0);
    expect_error(RPC_UNIMPLEMENTED, "method: 9 is not known");
    ask(FRAME_METHOD_lookup, "\xff", 1);
    expect_error(RPC_INVALID_ARGUMENT, "request: malformed at byte 0 of 1");
    ask(FRAME_METHOD_lookup, "\x2a\x01\x0a", 3);
    expect_error(RPC_INVALID_ARGUMENT, "features[0]: malformed at byte 0 of 1");
    ask(FRAME_METHOD_lookup, "\x0a\x01\x00", 3);
    expect_error(RPC_INVALID_ARGUMENT, "model: holds a NUL byte");
    ask(FRAME_METHOD_pool, "\x2a\x03\x0a\x01\x00", 5);
    expect_error(RPC_INVALID_ARGUMENT, "features[0].table: holds a NUL byte");
}
END_TEST

static const struct {
    const char *body;
    size_t bytes;
    const char *text;
} faults[] = {
    {"\x08\x01", 2, "model: has the wrong wire type"},
    {"\x22\x00", 2, "dtype: has the wrong wire type"},
    {"\x28\x01", 2, "features: has the wrong wire type"},
    {"\x2a\x02\x08\x03", 4, "features[0].table: has the wrong wire type"},
    {"\x2a\x00\x2a\x02\x28\x01\x2a\x02\x2a\x00", 10,
     "features[2].pooling: has the wrong wire type"},
    {"\x2a\x02\x10\x01", 4, "features[0].ids: has the wrong wire type"},
    {"\x2a\x0b\x12\x09"
     "123456789",
     13, "features[0].ids: its bytes are no whole elements"},
    {"\x2a\x08\x32\x06"
     "123456",
     10, "features[0].ids32: its bytes are no whole elements"},
    {"\x2a\x05\x22\x03"
     "123",
     7, "features[0].weights: its bytes are no whole elements"},
    {"\x2a\x04\x1a\x02\x01\x80", 6,
     "features[0].lengths: a number in it is cut short, or over 10 bytes long"},
    {"\x2a\x0d\x1a\x0b\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 15,
     "features[0].lengths: a number in it is cut short, or over 10 bytes long"},
};

START_TEST(fields_that_cannot_be_decoded_are_named)
{
    ask(FRAME_METHOD_pool, faults[_i].body, faults[_i].bytes);
    expect_error(RPC_INVALID_ARGUMENT, faults[_i].text);
}
END_TEST

START_TEST(longest_numbers_are_decoded)
{
    ask(FRAME_METHOD_pool,
        "\x2a\x0f\x0a\x01"
        "a\x1a\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
        17);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
}
END_TEST

START_TEST(ping_takes_any_fields)
{
    ask(FRAME_METHOD_ping, "", 0);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
    ck_assert_uint_eq(answer.header.body_bytes, 0);
    ask(FRAME_METHOD_ping, "\x0a\x01\x00", 3);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
}
END_TEST

START_TEST(status_tells_tables_and_counts)
{
    fixture_now_ns = 3500000000;
    ask(FRAME_METHOD_ping, "", 0);
    ask(FRAME_METHOD_status, "", 0);
    Nibble__V1__StatusReply *reply = nibble__v1__status_reply__unpack(
        NULL, answer.header.body_bytes, answer.body);
    ck_assert_ptr_nonnull(reply);
    ck_assert_uint_eq(reply->uptime_ms, 3500);
    ck_assert_uint_eq(reply->n_methods, N_METHODS);
    ck_assert_str_eq(reply->methods[METHOD_ping]->name, "ping");
    ck_assert_uint_eq(reply->methods[METHOD_ping]->requests, 1);
    ck_assert_uint_eq(reply->methods[METHOD_status]->requests, 1);
    ck_assert_uint_eq(reply->n_models, 1);
    ck_assert_uint_eq(reply->models[0]->n_tables, 2);
    const Nibble__V1__TableStatus *table = reply->models[0]->tables[1];
    ck_assert_str_eq(table->name, "b");
    ck_assert_uint_eq(table->rows, FIXTURE_ROWS);
    ck_assert_uint_eq(table->dim, FIXTURE_DIM_B);
    ck_assert_uint_eq(table->row_bytes, 9);
    ck_assert_str_eq(table->codec, "q4");
    nibble__v1__status_reply__free_unpacked(reply, NULL);
}
END_TEST

/* A millisecond passes whenever the time is asked for. */
static uint64_t hasty_clock(void)
{
    fixture_now_ns += 1000000;
    return fixture_now_ns;
}

/* Of features that are a bag each, at most four. */
static void ask_bags(size_t n_features, uint32_t n_ids, uint32_t timeout_ms)
{
    static uint32_t ids[20000];
    static uint8_t body[4 * sizeof(ids) + 100];
    Nibble__V1__PoolFeature feature = NIBBLE__V1__POOL_FEATURE__INIT;
    feature.table = "a";
    feature.n_ids32 = n_ids;
    feature.ids32 = ids;
    feature.n_lengths = 1;
    feature.lengths = &n_ids;
    Nibble__V1__PoolFeature *features[] = {&feature, &feature, &feature,
                                           &feature};
    Nibble__V1__PoolRequest request = NIBBLE__V1__POOL_REQUEST__INIT;
    request.n_features = n_features;
    request.features = features;
    request.timeout_ms = timeout_ms;
    ask(FRAME_METHOD_pool, body,
        nibble__v1__pool_request__pack(&request, body));
}

START_TEST(deadlines_hold_between_features)
{
    teardown();
    setup_with("--max-ids 20000");
    fixture_service.now_ns = hasty_clock;
    ask_bags(4, 5000, 3);
    expect_error(RPC_DEADLINE_EXCEEDED,
                 "timeout_ms: passed; 4 ms since the request came");
    ck_assert_uint_eq(fixture_service.counters->methods[METHOD_pool]
                          .codes[RPC_DEADLINE_EXCEEDED],
                      1);
}
END_TEST

/* All of it is there. */
START_TEST(what_is_done_is_not_late)
{
    teardown();
    setup_with("--max-ids 20000");
    fixture_service.now_ns = hasty_clock;
    ask_bags(1, 20000, 1);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
}
END_TEST

/* It is done in no time, once it is begun. */
START_TEST(small_requests_are_not_late)
{
    fixture_service.now_ns = hasty_clock;
    ask_bags(4, 5, 3);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
}
END_TEST

START_TEST(work_is_refused_while_the_loop_is_behind)
{
    /* Since its turn began, the clock has been looked at after 5.001 s. */
    fixture_service.turn_ns = 1000000000;
    fixture_service.clock_ns = fixture_service.turn_ns + 5000000000;
    ask_pool(nothing);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
    fixture_service.clock_ns += 1000000;
    ask_pool(nothing);
    expect_error(RPC_RESOURCE_EXHAUSTED,
                 "server: overloaded, 5001 ms behind, the limit is 5000");
    ask(FRAME_METHOD_ping, NULL, 0);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
    service_end_turn(&fixture_service);
    ask_pool(nothing);
    ck_assert_uint_eq(answer.header.kind, FRAME_REPLY);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("rpc");
    TCase *tcase = tcase_create("rpc");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, lookup_decodes_into_the_reply);
    tcase_add_test(tcase, pool_writes_one_row_a_bag);
    tcase_add_loop_test(tcase, refused_requests, 0,
                        sizeof(refusals) / sizeof(refusals[0]));
    tcase_add_test(tcase, replies_over_the_limit);
    tcase_add_test(tcase, deadlines_count_from_the_arrival);
    tcase_add_test(tcase, what_is_no_request);
    tcase_add_loop_test(tcase, fields_that_cannot_be_decoded_are_named, 0,
                        sizeof(faults) / sizeof(faults[0]));
    tcase_add_test(tcase, longest_numbers_are_decoded);
    tcase_add_test(tcase, ping_takes_any_fields);
    tcase_add_test(tcase, status_tells_tables_and_counts);
    tcase_add_test(tcase, deadlines_hold_between_features);
    tcase_add_test(tcase, what_is_done_is_not_late);
    tcase_add_test(tcase, small_requests_are_not_late);
    tcase_add_test(tcase, work_is_refused_while_the_loop_is_behind);
    suite_add_tcase(suite, tcase);
    return suite;
}
