/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A reply that does not fit the request is refused, whatever it says. */
#include "client/lib/reply_blocks.h"

#include <stdlib.h>
#include <string.h>

#include "proto/blocks.h"
#include "tests/lib/run_suite.h"

static struct reply_blocks blocks;

static void setup(void)
{
    blocks = (struct reply_blocks){0};
}

static void teardown(void)
{
    reply_blocks_fini(&blocks);
}

/* Encodes blocks of zeros; the caller frees the result. */
static uint8_t *encode(const struct block_head *heads, size_t n,
                       uint32_t unseen, size_t *bytes)
{
    uint64_t total;
    ck_assert_int_eq(blocks_bytes(heads, n, 3, UINT32_MAX, &total), 0);
    uint8_t *body = calloc(total + 1, 1);
    struct blocks_writer writer;
    blocks_begin(&writer, body, 3);
    for (size_t i = 0; i < n; i++) {
        uint8_t *values = blocks_add(&writer, &heads[i]);
        memset(values, (int)i + 1, (size_t)heads[i].rows * heads[i].row_bytes);
        blocks_end(&writer, unseen);
    }
    *bytes = total;
    return body;
}

static const uint32_t two_bags[] = {1, 2};
static const uint32_t three_ids[] = {1, 2, 3};
static const struct nb_feature features[] = {
    {.table = "a",
     .ids = {.u32 = three_ids, .n = 3},
     .lengths = two_bags,
     .n_bags = 2},
    {.table = "b",
     .ids = {.u32 = three_ids, .n = 3},
     .lengths = two_bags,
     .n_bags = 2},
};

START_TEST(fitting_replies)
{
    const struct block_head heads[] = {
        {.rows = 2, .dim = 4, .row_bytes = 16},
        {.rows = 2, .dim = 1, .row_bytes = 4},
    };
    const struct nb_request request = {.features = features, .n_features = 2};
    size_t bytes;
    uint8_t *body = encode(heads, 2, 3, &bytes);
    struct nb_reply reply;
    ck_assert_int_eq(
        reply_blocks_read(&blocks, body, bytes, &request, true, &reply, NULL),
        0);
    ck_assert_uint_eq(reply.version, 3);
    ck_assert_uint_eq(reply.n_blocks, 2);
    ck_assert_uint_eq(reply.blocks[0].rows, 2);
    ck_assert_uint_eq(reply.blocks[0].dim, 4);
    ck_assert_uint_eq(reply.blocks[0].unseen, 3);
    ck_assert_int_eq(*(const uint8_t *)reply.blocks[1].values, 2);
    /* Every byte counts: cut short, it is refused. */
    for (size_t n = 0; n < bytes; n++) {
        uint8_t *cut = malloc(n + 1);
        memcpy(cut, body, n);
        ck_assert_int_eq(
            reply_blocks_read(&blocks, cut, n, &request, true, &reply, NULL),
            NB_ERR_MESSAGE);
        free(cut);
    }
    free(body);
}
END_TEST

START_TEST(packed_rows_carry_their_format)
{
    const struct block_head head = {.rows = 3,
                                    .dim = 7,
                                    .dtype = NB_PACKED,
                                    .row_bytes = 12,
                                    .codec = 1,
                                    .scales = NB_SCALES_FP32};
    const struct nb_request request = {
        .features = features, .n_features = 1, .dtype = NB_PACKED};
    size_t bytes;
    uint8_t *body = encode(&head, 1, 0, &bytes);
    struct nb_reply reply;
    ck_assert_int_eq(
        reply_blocks_read(&blocks, body, bytes, &request, false, &reply, NULL),
        0);
    ck_assert_uint_eq(reply.blocks[0].format.codec, 1);
    ck_assert_uint_eq(reply.blocks[0].format.dim, 7);
    ck_assert_uint_eq(reply.blocks[0].format.scales, NB_SCALES_FP32);
    free(body);
}
END_TEST

/* Replies to a lookup of three ids, each wrong in one way. */
static const struct {
    const char *says;
    uint32_t dtype; /* asked for */
    uint32_t n_blocks;
    uint32_t unseen;
    struct block_head head;
} unfit[] = {
    {"0 blocks", NB_FP32, 0, 0, {0}},
    {"2 blocks", NB_FP32, 2, 0, {.rows = 3, .dim = 1, .row_bytes = 4}},
    {"2 rows, asked for 3",
     NB_FP32,
     1,
     0,
     {.rows = 2, .dim = 1, .row_bytes = 4}},
    {"dim is 0", NB_FP32, 1, 0, {.rows = 3}},
    {"dim is 65537",
     NB_FP32,
     1,
     0,
     {.rows = 3, .dim = 65537, .row_bytes = 4 * 65537}},
    {"dtype is 1",
     NB_FP32,
     1,
     0,
     {.rows = 3, .dim = 1, .dtype = NB_FP16, .row_bytes = 2}},
    {"4 ids unseen of 3", NB_FP32, 1, 4, {.rows = 3, .dim = 1, .row_bytes = 4}},
    {"row_bytes", NB_FP32, 1, 0, {.rows = 3, .dim = 1, .row_bytes = 8}},
    {"not of codec 1",
     NB_PACKED,
     1,
     0,
     {.rows = 3, .dim = 8, .dtype = NB_PACKED, .row_bytes = 9, .codec = 1}},
    {"not of codec 1",
     NB_PACKED,
     1,
     0,
     {.rows = 3,
      .dim = 8,
      .dtype = NB_PACKED,
      .row_bytes = 8,
      .codec = 1,
      .scales = 2}},
};

START_TEST(replies_that_do_not_fit)
{
    const struct block_head heads[] = {unfit[_i].head, unfit[_i].head};
    const struct nb_request request = {
        .features = features, .n_features = 1, .dtype = unfit[_i].dtype};
    size_t bytes;
    uint8_t *body = encode(heads, unfit[_i].n_blocks, unfit[_i].unseen, &bytes);
    struct nb_reply reply;
    struct nb_errctx err = {""};
    ck_assert_int_eq(
        reply_blocks_read(&blocks, body, bytes, &request, false, &reply, &err),
        NB_ERR_MESSAGE);
    ck_assert_msg(strstr(err.text, unfit[_i].says) != NULL, "%s", err.text);
    free(body);
}
END_TEST

/* Rows of a codec that only a newer library knows are handed over. */
START_TEST(codecs_to_come)
{
    const struct block_head head = {
        .rows = 3, .dim = 8, .dtype = NB_PACKED, .row_bytes = 5, .codec = 200};
    const struct nb_request request = {
        .features = features, .n_features = 1, .dtype = NB_PACKED};
    size_t bytes;
    uint8_t *body = encode(&head, 1, 0, &bytes);
    struct nb_reply reply;
    ck_assert_int_eq(
        reply_blocks_read(&blocks, body, bytes, &request, false, &reply, NULL),
        0);
    ck_assert_uint_eq(reply.blocks[0].format.codec, 200);
    free(body);
}
END_TEST

static void same_outcome(const uint8_t *body, size_t bytes,
                         const struct nb_request *request)
{
    struct reply_blocks fresh = {0};
    struct nb_reply expected;
    struct nb_reply reply;
    struct nb_errctx expected_err = {""};
    struct nb_errctx err = {""};
    int expected_rv = reply_blocks_read(&fresh, body, bytes, request, true,
                                        &expected, &expected_err);
    int rv =
        reply_blocks_read(&blocks, body, bytes, request, true, &reply, &err);
    ck_assert_int_eq(rv, expected_rv);
    ck_assert_str_eq(err.text, expected_err.text);
    if (rv == 0) {
        ck_assert_uint_eq(reply.version, expected.version);
        ck_assert_uint_eq(reply.n_blocks, expected.n_blocks);
        for (size_t i = 0; i < reply.n_blocks; i++) {
            const struct nb_block *a = &reply.blocks[i];
            const struct nb_block *b = &expected.blocks[i];
            ck_assert_uint_eq(a->rows, b->rows);
            ck_assert_uint_eq(a->dim, b->dim);
            ck_assert_uint_eq(a->row_bytes, b->row_bytes);
            ck_assert_uint_eq(a->unseen, b->unseen);
            ck_assert_uint_eq(a->dtype, b->dtype);
            ck_assert_uint_eq(a->format.codec, b->format.codec);
            ck_assert_uint_eq(a->params, b->params);
            ck_assert_ptr_eq(a->values, b->values);
        }
        /* What was handed out is not what was kept. */
        memset(blocks.blocks, 0x5a, reply.n_blocks * sizeof(blocks.blocks[0]));
    }
    reply_blocks_fini(&fresh);
}

/* What was read before changes nothing about what is read. */
START_TEST(replies_after_another)
{
    const struct block_head heads[] = {
        {.rows = 2, .dim = 4, .row_bytes = 16},
        {.rows = 2, .dim = 1, .row_bytes = 4},
    };
    const struct nb_request request = {.features = features, .n_features = 2};
    const struct nb_request shorter = {.features = features, .n_features = 1};
    struct nb_feature fewer[] = {features[0], features[1]};
    fewer[1].n_bags = 1;
    const struct nb_request others[] = {
        shorter,
        {.features = features, .n_features = 2, .dtype = NB_FP16},
        {.features = fewer, .n_features = 2},
    };
    size_t bytes;
    uint8_t *body = encode(heads, 2, 2, &bytes);
    same_outcome(body, bytes, &request);
    for (size_t i = 0; i < bytes; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            body[i] ^= (uint8_t)(1u << bit);
            same_outcome(body, bytes, &request);
            body[i] ^= (uint8_t)(1u << bit);
            same_outcome(body, bytes, &request);
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        same_outcome(body, bytes, &others[i]);
        same_outcome(body, bytes, &request);
    }
    free(body);
}
END_TEST

START_TEST(packed_replies_after_another)
{
    const struct block_head heads[] = {
        {.rows = 3,
         .dim = 8,
         .dtype = NB_PACKED,
         .row_bytes = 8,
         .codec = 1,
         .params = 7},
        {.rows = 3, .dim = 8, .dtype = NB_PACKED, .row_bytes = 8, .codec = 1},
    };
    const struct nb_feature pair[] = {features[0], features[0]};
    const struct nb_request request = {
        .features = pair, .n_features = 2, .dtype = NB_PACKED};
    size_t bytes;
    uint8_t *body = encode(heads, 2, 0, &bytes);
    struct nb_reply reply;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(reply_blocks_read(&blocks, body, bytes, &request,
                                           false, &reply, NULL),
                         0);
        ck_assert_uint_eq(reply.blocks[0].dtype, NB_PACKED);
        ck_assert_uint_eq(reply.blocks[0].params, 7);
        ck_assert_uint_eq(reply.blocks[1].row_bytes, 8);
        memset(blocks.blocks, 0x5a, 2 * sizeof(blocks.blocks[0]));
    }
    free(body);
}
END_TEST

/* No features, no bytes. */
START_TEST(nothing_for_nothing)
{
    const struct nb_request request = {.features = features};
    struct nb_reply reply;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(
            reply_blocks_read(&blocks, "", 0, &request, true, &reply, NULL), 0);
        ck_assert_uint_eq(reply.n_blocks, 0);
    }
}
END_TEST

/* One block of the shape is one comparison, wherever the body stands. */
START_TEST(replies_of_one_shape)
{
    const struct block_head head = {.rows = 2, .dim = 4, .row_bytes = 16};
    const struct nb_request request = {.features = features, .n_features = 1};
    size_t bytes;
    uint8_t *body = encode(&head, 1, 0, &bytes);
    struct nb_reply reply;
    ck_assert_int_eq(
        reply_blocks_read(&blocks, body, bytes, &request, true, &reply, NULL),
        0);
    ck_assert_uint_eq(blocks.body_bytes, bytes); /* kept */
    ptrdiff_t at = (const uint8_t *)reply.blocks[0].values - body;
    uint8_t *moved = malloc(bytes);
    memcpy(moved, body, bytes);
    memset(moved + at, 9, 32);
    free(body);
    ck_assert_int_eq(
        reply_blocks_read(&blocks, moved, bytes, &request, true, &reply, NULL),
        0);
    ck_assert_ptr_eq(reply.blocks[0].values, moved + at);
    free(moved);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("reply_blocks");
    TCase *tcase = tcase_create("read");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, fitting_replies);
    tcase_add_test(tcase, packed_rows_carry_their_format);
    tcase_add_loop_test(tcase, replies_that_do_not_fit, 0,
                        (int)(sizeof(unfit) / sizeof(unfit[0])));
    tcase_add_test(tcase, codecs_to_come);
    tcase_add_test(tcase, replies_after_another);
    tcase_add_test(tcase, packed_replies_after_another);
    tcase_add_test(tcase, nothing_for_nothing);
    tcase_add_test(tcase, replies_of_one_shape);
    suite_add_tcase(suite, tcase);
    return suite;
}
