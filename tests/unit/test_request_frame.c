/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Requests encoded by hand are what protobuf-c reads back. */
#include "client/lib/request_frame.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/nibble.pb-c.h"
#include "tests/lib/run_suite.h"

static struct request_frame frame;
static uint8_t *sent; /* the frame in one piece */

static const struct request_call lookup_call = {
    .method = FRAME_METHOD_lookup, .request_id = 7, .timeout_ms = 250};
static const struct request_call pool_call = {.method = FRAME_METHOD_pool,
                                              .request_id = 8};

static void setup(void)
{
    frame = (struct request_frame){0};
    sent = NULL;
}

static void teardown(void)
{
    request_frame_fini(&frame);
    free(sent);
}

/* Gathers the pieces and checks the header; returns the body. */
static const uint8_t *gather(const struct request_call *call, size_t *bytes)
{
    free(sent);
    sent = malloc(frame.bytes);
    size_t at = 0;
    for (size_t i = 0; i < frame.n_iov; i++) {
        ck_assert_uint_gt(frame.iov[i].iov_len, 0);
        memcpy(sent + at, frame.iov[i].iov_base, frame.iov[i].iov_len);
        at += frame.iov[i].iov_len;
    }
    ck_assert_uint_eq(at, frame.bytes);
    struct frame_header header;
    ck_assert_int_eq(frame_header_get(sent, UINT32_MAX, &header, NULL), 0);
    ck_assert_uint_eq(header.kind, FRAME_REQUEST);
    ck_assert_uint_eq(header.method, call->method);
    ck_assert_uint_eq(header.request_id, call->request_id);
    ck_assert_uint_eq(header.body_bytes, frame.bytes - FRAME_HEADER_BYTES);
    *bytes = header.body_bytes;
    return sent + FRAME_HEADER_BYTES;
}

static Nibble__V1__LookupRequest *
encode_lookup(const struct nb_request *request)
{
    struct nb_errctx err = {""};
    int rv = request_frame_encode(&frame, &lookup_call, request, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    size_t bytes;
    const uint8_t *body = gather(&lookup_call, &bytes);
    Nibble__V1__LookupRequest *read =
        nibble__v1__lookup_request__unpack(NULL, bytes, body);
    ck_assert_ptr_nonnull(read);
    return read;
}

static Nibble__V1__PoolRequest *encode_pool(const struct nb_request *request)
{
    struct nb_errctx err = {""};
    int rv = request_frame_encode(&frame, &pool_call, request, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    size_t bytes;
    const uint8_t *body = gather(&pool_call, &bytes);
    Nibble__V1__PoolRequest *read =
        nibble__v1__pool_request__unpack(NULL, bytes, body);
    ck_assert_ptr_nonnull(read);
    return read;
}

static bool borrows(const void *data)
{
    for (size_t i = 0; i < frame.n_iov; i++) {
        if (frame.iov[i].iov_base == data) {
            return true;
        }
    }
    return false;
}

START_TEST(lookup_of_every_kind_of_ids)
{
    const uint64_t wide[] = {1, UINT64_C(1) << 32, UINT64_MAX};
    const uint64_t narrow[] = {5, UINT32_MAX};
    const uint32_t short_ids[] = {9, 8, 7, 6};
    const struct nb_feature features[] = {
        {.table = "wide", .ids = {.u64 = wide, .n = 3}},
        {.table = "narrow", .ids = {.u64 = narrow, .n = 2}},
        {.table = "short", .ids = {.u32 = short_ids, .n = 4}},
        {.table = "none"},
    };
    const struct nb_request request = {.model = "m",
                                       .version = UINT64_MAX,
                                       .dtype = NB_PACKED,
                                       .features = features,
                                       .n_features = 4};
    Nibble__V1__LookupRequest *read = encode_lookup(&request);
    ck_assert_str_eq(read->model, "m");
    ck_assert(read->version == UINT64_MAX);
    ck_assert_uint_eq(read->timeout_ms, 250);
    ck_assert_int_eq(read->dtype, NIBBLE__V1__DTYPE__PACKED);
    ck_assert_uint_eq(read->n_features, 4);
    Nibble__V1__LookupFeature **f = read->features;
    ck_assert_str_eq(f[0]->table, "wide");
    ck_assert_uint_eq(f[0]->n_ids, 3);
    ck_assert_uint_eq(f[0]->n_ids32, 0);
    ck_assert_int_eq(memcmp(f[0]->ids, wide, sizeof(wide)), 0);
    ck_assert_str_eq(f[1]->table, "narrow");
    ck_assert_uint_eq(f[1]->n_ids, 0);
    ck_assert_uint_eq(f[1]->n_ids32, 2);
    ck_assert_uint_eq(f[1]->ids32[0], 5);
    ck_assert_uint_eq(f[1]->ids32[1], UINT32_MAX);
    ck_assert_uint_eq(f[2]->n_ids32, 4);
    ck_assert_int_eq(memcmp(f[2]->ids32, short_ids, sizeof(short_ids)), 0);
    ck_assert_str_eq(f[3]->table, "none");
    ck_assert_uint_eq(f[3]->n_ids + f[3]->n_ids32, 0);
    ck_assert(borrows(wide));
    ck_assert(!borrows(narrow));
    ck_assert(borrows(short_ids));
    nibble__v1__lookup_request__free_unpacked(read, NULL);
}
END_TEST

START_TEST(pool_with_and_without_weights)
{
    const uint64_t ids[] = {1, UINT64_C(1) << 40, 3};
    const float weights[] = {0.5F, -1.0F, 2.0F};
    const uint32_t lengths[] = {2, 0, 1};
    const uint32_t many[300] = {0};
    const uint32_t one_bag[] = {300};
    const struct nb_feature features[] = {
        {.table = "a",
         .ids = {.u64 = ids, .n = 3},
         .lengths = lengths,
         .n_bags = 3,
         .weights = weights,
         .pooling = NB_MEAN},
        {.table = "b",
         .ids = {.u32 = many, .n = 300},
         .lengths = one_bag,
         .n_bags = 1,
         .pooling = NB_MAX},
        {.table = "c", .lengths = lengths + 1, .n_bags = 1},
    };
    const struct nb_request request = {
        .dtype = NB_BF16, .features = features, .n_features = 3};
    Nibble__V1__PoolRequest *read = encode_pool(&request);
    ck_assert_str_eq(read->model, "");
    ck_assert_uint_eq(read->timeout_ms, 0);
    ck_assert_int_eq(read->dtype, NIBBLE__V1__DTYPE__BF16);
    Nibble__V1__PoolFeature **f = read->features;
    ck_assert_uint_eq(read->n_features, 3);
    ck_assert_uint_eq(f[0]->n_ids, 3);
    ck_assert_int_eq(memcmp(f[0]->ids, ids, sizeof(ids)), 0);
    ck_assert_uint_eq(f[0]->n_lengths, 3);
    ck_assert_int_eq(memcmp(f[0]->lengths, lengths, sizeof(lengths)), 0);
    ck_assert_uint_eq(f[0]->n_weights, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert(f[0]->weights[i] == weights[i]);
    }
    ck_assert_int_eq(f[0]->pooling, NIBBLE__V1__POOLING__MEAN);
    ck_assert_uint_eq(f[1]->n_ids32, 300);
    ck_assert_uint_eq(f[1]->n_lengths, 1);
    ck_assert_uint_eq(f[1]->lengths[0], 300);
    ck_assert_uint_eq(f[1]->n_weights, 0);
    ck_assert_int_eq(f[1]->pooling, NIBBLE__V1__POOLING__MAX);
    ck_assert_uint_eq(f[2]->n_ids32 + f[2]->n_ids, 0);
    ck_assert_uint_eq(f[2]->n_lengths, 1);
    ck_assert(borrows(weights));
    nibble__v1__pool_request__free_unpacked(read, NULL);
}
END_TEST

/* The buffers of one request serve the next, larger or smaller. */
START_TEST(frames_are_reused)
{
    static struct nb_feature features[100];
    static uint64_t ids[1000];
    for (size_t i = 0; i < 100; i++) {
        features[i] =
            (struct nb_feature){.table = "t", .ids = {.u64 = ids, .n = 10 * i}};
    }
    const size_t sizes[] = {1, 100, 3, 0, 50};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const struct nb_request request = {.features = features,
                                           .n_features = sizes[i]};
        Nibble__V1__LookupRequest *read = encode_lookup(&request);
        ck_assert_uint_eq(read->n_features, sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++) {
            ck_assert_uint_eq(read->features[j]->n_ids32, 10 * j);
        }
        nibble__v1__lookup_request__free_unpacked(read, NULL);
    }
    ck_assert_int_eq(request_frame_encode_empty(&frame, &lookup_call, NULL), 0);
    size_t bytes;
    gather(&lookup_call, &bytes);
    ck_assert_uint_eq(bytes, 0);
}
END_TEST

static const uint64_t some_ids[] = {1, 2};
static const uint32_t some_ids32[] = {1, 2};
static const uint32_t some_lengths[] = {1, 2};
static const float some_weights[] = {1, 1};

/* What is refused, and the word its message must hold. */
static const struct {
    const char *says;
    bool lookup;
    struct nb_feature feature;
} refused[] = {
    {"no table", true, {.table = NULL}},
    {"no table", true, {.table = ""}},
    {"feature 0 (table 't')", true, {.table = "t", .ids = {.n = 2}}},
    {"one of ids.u64",
     true,
     {.table = "t", .ids = {.u64 = some_ids, .u32 = some_ids32, .n = 2}}},
    {"do not fit",
     true,
     {.table = "t", .ids = {.u64 = some_ids, .n = UINT64_C(1) << 32}}},
    {"sum to 3",
     false,
     {.table = "t",
      .ids = {.u64 = some_ids, .n = 2},
      .lengths = some_lengths,
      .n_bags = 2}},
    {"sum to 0", false, {.table = "t", .ids = {.u64 = some_ids, .n = 2}}},
    {"bags do not fit",
     false,
     {.table = "t", .lengths = some_lengths, .n_bags = UINT64_C(1) << 32}},
    {"without lengths", false, {.table = "t", .n_bags = 2}},
    {"pooling mode 3", false, {.table = "t", .pooling = 3}},
    {"takes no weights",
     false,
     {.table = "t", .pooling = NB_MAX, .weights = some_weights}},
};

START_TEST(misuse_names_the_feature)
{
    const struct nb_request request = {.features = &refused[_i].feature,
                                       .n_features = 1};
    struct nb_errctx err = {""};
    int rv = request_frame_encode(
        &frame, refused[_i].lookup ? &lookup_call : &pool_call, &request, &err);
    ck_assert_int_eq(rv, NB_ERR_INVALID);
    ck_assert_msg(strstr(err.text, refused[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(misuse_of_the_request)
{
    const struct nb_feature feature = {.table = "t"};
    struct nb_request request = {
        .features = &feature, .n_features = 1, .dtype = NB_PACKED};
    ck_assert_int_eq(request_frame_encode(&frame, &pool_call, &request, NULL),
                     NB_ERR_INVALID);
    request.dtype = NB_PACKED + 1;
    ck_assert_int_eq(request_frame_encode(&frame, &lookup_call, &request, NULL),
                     NB_ERR_INVALID);
    request.dtype = NB_FP32;
    request.n_features = SIZE_MAX;
    ck_assert_int_eq(request_frame_encode(&frame, &lookup_call, &request, NULL),
                     NB_ERR_INVALID);
    request.n_features = 1;
    request.features = NULL;
    ck_assert_int_eq(request_frame_encode(&frame, &lookup_call, &request, NULL),
                     NB_ERR_INVALID);
}
END_TEST

/* Sizes are counted without looking at the ids, so they may be far more than
 * there are: 3 x 2^29 x 4 bytes pass 2^32. */
START_TEST(more_than_a_frame_holds)
{
    static const uint32_t id;
    struct nb_feature features[3];
    for (size_t i = 0; i < 3; i++) {
        features[i] = (struct nb_feature){
            .table = "t", .ids = {.u32 = &id, .n = UINT64_C(1) << 29}};
    }
    const struct nb_request request = {.features = features, .n_features = 3};
    struct nb_errctx err = {""};
    ck_assert_int_eq(request_frame_encode(&frame, &lookup_call, &request, &err),
                     NB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "a frame holds"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("request_frame");
    TCase *tcase = tcase_create("encode");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, lookup_of_every_kind_of_ids);
    tcase_add_test(tcase, pool_with_and_without_weights);
    tcase_add_test(tcase, frames_are_reused);
    tcase_add_loop_test(tcase, misuse_names_the_feature, 0,
                        (int)(sizeof(refused) / sizeof(refused[0])));
    tcase_add_test(tcase, misuse_of_the_request);
    tcase_add_test(tcase, more_than_a_frame_holds);
    suite_add_tcase(suite, tcase);
    return suite;
}
