/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What nb_pool, nb_lookup and nb_decode refuse, and the corners of what they
 * take. Values are the business of tests/property/. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "quant/nibble.h"

#include "tests/lib/run_suite.h"

/* Rows of 4 values: [0 1 2 3] and [1 1 1 1], scale 1, bias 0. */
static const uint8_t two_rows[] = {0x10, 0x32, 0x00, 0x3c, 0, 0,
                                   0x11, 0x11, 0x00, 0x3c, 0, 0};
static const uint64_t two_ids[] = {1, 0};
static const uint32_t two_ids32[] = {1, 0};
static const uint32_t one_bag[] = {2};
static const float two_weights[] = {1, 1};

static struct nb_rows rows;
static struct nb_pool pool;
static struct nb_lookup lookup;
static float out[16];
static uint64_t unseen;

static void setup(void)
{
    rows = (struct nb_rows){
        {1, 4, NB_SCALES_FP16}, two_rows, 2, 6, NULL, NULL, NULL};
    pool = (struct nb_pool){
        .ids = {two_ids, NULL, 2}, .lengths = one_bag, .n_bags = 1};
    lookup = (struct nb_lookup){.ids = {two_ids, NULL, 2}};
    memset(out, 0xa5, sizeof(out));
    unseen = 77;
}

static void refused(int code)
{
    ck_assert_int_eq(nb_pool(&rows, &pool, out, &unseen), code);
    ck_assert_uint_eq(unseen, 77);
}

static void both_refused(int code)
{
    refused(code);
    ck_assert_int_eq(nb_lookup(&rows, &lookup, out, &unseen), code);
    ck_assert_uint_eq(unseen, 77);
}

static void is_row(const float *row, float a, float b, float c, float d)
{
    const float want[] = {a, b, c, d};
    ck_assert_mem_eq(row, want, sizeof(want));
}

START_TEST(good_requests)
{
    ck_assert_int_eq(nb_pool(&rows, &pool, out, &unseen), 0);
    ck_assert_uint_eq(unseen, 0);
    is_row(out, 1, 2, 3, 4);
    ck_assert_int_eq(nb_lookup(&rows, &lookup, out, &unseen), 0);
    is_row(out, 1, 1, 1, 1);
    is_row(out + 4, 0, 1, 2, 3);
    pool.ids = (struct nb_ids){NULL, two_ids32, 2};
    pool.pooling = NB_MAX;
    ck_assert_int_eq(nb_pool(&rows, &pool, out, &unseen), 0);
    is_row(out, 1, 1, 2, 3);
    ck_assert_int_eq(nb_decode(&rows, 1, 1, NB_FP32, out), 0);
    is_row(out, 1, 1, 1, 1);
}
END_TEST

START_TEST(bad_formats)
{
    rows.format.dim = 0;
    both_refused(NB_ERR_INVALID);
    rows.format.dim = NB_DIM_MAX + 1;
    both_refused(NB_ERR_INVALID);
    rows.format.dim = 4;
    rows.format.scales = 2;
    both_refused(NB_ERR_INVALID);
    rows.format.scales = NB_SCALES_FP16;
    rows.format.codec = 255;
    both_refused(NB_ERR_UNSUPPORTED);
    ck_assert_int_eq(nb_decode(&rows, 0, 1, NB_FP32, out), NB_ERR_UNSUPPORTED);
}
END_TEST

START_TEST(bad_memory)
{
    rows.stride = 5;
    both_refused(NB_ERR_INVALID);
    rows.stride = SIZE_MAX / 2;
    rows.n_rows = 3;
    both_refused(NB_ERR_INVALID);
    rows.stride = 6;
    rows.n_rows = SIZE_MAX / 6;
    both_refused(NB_ERR_INVALID);
    rows.n_rows = 2;
    rows.base = NULL;
    both_refused(NB_ERR_INVALID);
    ck_assert_int_eq(nb_decode(&rows, 0, 1, NB_FP32, out), NB_ERR_INVALID);
}
END_TEST

START_TEST(bad_ids)
{
    pool.ids.u32 = lookup.ids.u32 = two_ids32;
    both_refused(NB_ERR_INVALID); /* both */
    pool.ids = lookup.ids = (struct nb_ids){NULL, NULL, 2};
    both_refused(NB_ERR_INVALID); /* neither */
}
END_TEST

START_TEST(bad_types)
{
    pool.dtype = NB_PACKED;
    refused(NB_ERR_INVALID);
    pool.dtype = lookup.dtype = 4;
    both_refused(NB_ERR_INVALID);
    ck_assert_int_eq(nb_decode(&rows, 0, 1, 4, out), NB_ERR_INVALID);
}
END_TEST

START_TEST(bad_pooling)
{
    pool.pooling = 3;
    refused(NB_ERR_INVALID);
    pool.pooling = NB_MAX;
    pool.weights = two_weights;
    refused(NB_ERR_INVALID);
}
END_TEST

START_TEST(bad_lengths)
{
    static const uint32_t sums[][2] = {
        {1, 0}, {2, 1}, {3, 0}, {UINT32_MAX, 3}, {1, UINT32_MAX}};

    pool.n_bags = 2;
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        pool.lengths = sums[i];
        refused(NB_ERR_INVALID);
    }
    pool.lengths = NULL;
    refused(NB_ERR_INVALID);
    pool.n_bags = 0;
    refused(NB_ERR_INVALID); /* ids without a bag */
}
END_TEST

START_TEST(bad_policies)
{
    pool.unseen.action = lookup.unseen.action = 3;
    both_refused(NB_ERR_INVALID);
    pool.unseen = lookup.unseen =
        (struct nb_unseen_policy){NB_UNSEEN_DEFAULT, 2};
    both_refused(NB_ERR_INVALID);
    rows.n_rows = 0;
    pool.unseen.default_row = lookup.unseen.default_row = 0;
    both_refused(NB_ERR_INVALID);
}
END_TEST

START_TEST(unseen_ids)
{
    static const uint64_t ids[] = {0, 2, UINT64_MAX};
    static const uint32_t bags[] = {2, 1};

    pool.ids = lookup.ids = (struct nb_ids){ids, NULL, 3};
    pool.lengths = bags;
    pool.n_bags = 2;
    pool.pooling = NB_MEAN; /* over the length, unseen ids included */
    ck_assert_int_eq(nb_pool(&rows, &pool, out, &unseen), 0);
    ck_assert_uint_eq(unseen, 2);
    is_row(out, 0, 0.5f, 1, 1.5f);
    is_row(out + 4, 0, 0, 0, 0);
    ck_assert_int_eq(nb_lookup(&rows, &lookup, out, &unseen), 0);
    ck_assert_uint_eq(unseen, 2);
    is_row(out, 0, 1, 2, 3);
    is_row(out + 4, 0, 0, 0, 0);
    is_row(out + 8, 0, 0, 0, 0);
}
END_TEST

START_TEST(unseen_ids_by_default_row)
{
    static const uint64_t ids[] = {0, 2};

    pool.ids.u64 = lookup.ids.u64 = ids;
    pool.unseen = lookup.unseen =
        (struct nb_unseen_policy){NB_UNSEEN_DEFAULT, 1};
    ck_assert_int_eq(nb_pool(&rows, &pool, out, &unseen), 0);
    ck_assert_uint_eq(unseen, 1);
    is_row(out, 1, 2, 3, 4);
    ck_assert_int_eq(nb_lookup(&rows, &lookup, out, &unseen), 0);
    ck_assert_uint_eq(unseen, 1);
    is_row(out + 4, 1, 1, 1, 1);
}
END_TEST

START_TEST(unseen_ids_refused)
{
    static const uint64_t ids[] = {0, 2};

    pool.unseen.action = lookup.unseen.action = NB_UNSEEN_ERROR;
    ck_assert_int_eq(nb_pool(&rows, &pool, out, &unseen), 0);
    unseen = 77;
    pool.ids.u64 = lookup.ids.u64 = ids;
    both_refused(NB_ERR_UNSEEN);
}
END_TEST

/* An unseen id contributes nothing, whatever its weight. */
START_TEST(weight_of_unseen_id)
{
    static const uint64_t ids[] = {0, 2};
    static const float infinite[] = {2, INFINITY};

    pool.ids.u64 = ids;
    pool.weights = infinite;
    ck_assert_int_eq(nb_pool(&rows, &pool, out, &unseen), 0);
    is_row(out, 0, 2, 4, 6);
}
END_TEST

/* Parts of a long bag without a row add nothing, not even +0. */
START_TEST(sign_of_zero)
{
    static const uint8_t row[] = {0, 0, 0x00, 0xbc, 0x00, 0x80}; /* -1, -0 */
    static uint64_t ids[600];
    static const uint32_t bags[] = {1, 599};

    for (size_t i = 2; i < 600; i++) {
        ids[i] = 1;
    }
    rows.base = row;
    rows.n_rows = 1;
    pool.ids = (struct nb_ids){ids, NULL, 600};
    pool.lengths = bags;
    pool.n_bags = 2;
    ck_assert_int_eq(nb_pool(&rows, &pool, out, &unseen), 0);
    is_row(out, -0.0f, -0.0f, -0.0f, -0.0f);
    is_row(out + 4, -0.0f, -0.0f, -0.0f, -0.0f);
}
END_TEST

/* The same beside other bags, which keep it from being decoded. */
START_TEST(sign_of_zero_beside_others)
{
    static const float minus[4] = {-0.0f, -0.0f, -0.0f, -0.0f};
    static const uint64_t zeros[] = {0, 0, 0};
    static const uint32_t lengths[] = {1, 2, 0};
    rows = (struct nb_rows){.format = {4, 4, NB_SCALES_FP32},
                            .base = minus,
                            .n_rows = 1,
                            .stride = sizeof(minus)};
    pool = (struct nb_pool){
        .ids = {zeros, NULL, 1}, .lengths = lengths, .n_bags = 1};
    for (uint32_t pooling = NB_SUM; pooling <= NB_MAX; pooling++) {
        pool.pooling = pooling;
        pool.ids.n = 1;
        pool.n_bags = 1;
        ck_assert_int_eq(nb_pool(&rows, &pool, out, &unseen), 0);
        ck_assert_mem_eq(out, minus, sizeof(minus));
        pool.ids.n = 3;
        pool.n_bags = 3;
        ck_assert_int_eq(nb_pool(&rows, &pool, out, &unseen), 0);
        ck_assert_mem_eq(out, minus, sizeof(minus));
        ck_assert_mem_eq(out + 4, minus, sizeof(minus));
        is_row(out + 8, 0, 0, 0, 0);
    }
}
END_TEST

START_TEST(nothing_asked)
{
    pool = (struct nb_pool){.ids = {NULL, NULL, 0}};
    lookup = (struct nb_lookup){.ids = {NULL, NULL, 0}};
    ck_assert_int_eq(nb_pool(&rows, &pool, NULL, &unseen), 0);
    ck_assert_uint_eq(unseen, 0);
    ck_assert_int_eq(nb_lookup(&rows, &lookup, NULL, &unseen), 0);
    ck_assert_int_eq(nb_decode(&rows, 2, 0, NB_FP32, NULL), 0);
}
END_TEST

/* Every bag of an empty table is zeros. */
START_TEST(no_rows)
{
    rows.base = NULL;
    rows.n_rows = 0;
    for (pool.pooling = NB_SUM; pool.pooling <= NB_MAX; pool.pooling++) {
        memset(out, 0xa5, sizeof(out));
        ck_assert_int_eq(nb_pool(&rows, &pool, out, &unseen), 0);
        ck_assert_uint_eq(unseen, 2);
        is_row(out, 0, 0, 0, 0);
    }
    ck_assert_int_eq(nb_lookup(&rows, &lookup, out, &unseen), 0);
    is_row(out + 4, 0, 0, 0, 0);
}
END_TEST

START_TEST(rows_past_the_end)
{
    ck_assert_int_eq(nb_decode(&rows, 0, 3, NB_FP32, out), NB_ERR_INVALID);
    ck_assert_int_eq(nb_decode(&rows, 2, 1, NB_FP32, out), NB_ERR_INVALID);
    ck_assert_int_eq(nb_decode(&rows, UINT64_MAX, 2, NB_FP32, out),
                     NB_ERR_INVALID);
    ck_assert_int_eq(nb_decode(&rows, 1, SIZE_MAX, NB_FP32, out),
                     NB_ERR_INVALID);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("pool");
    TCase *tcase = tcase_create("requests");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, good_requests);
    tcase_add_test(tcase, bad_formats);
    tcase_add_test(tcase, bad_memory);
    tcase_add_test(tcase, bad_ids);
    tcase_add_test(tcase, bad_types);
    tcase_add_test(tcase, bad_pooling);
    tcase_add_test(tcase, bad_lengths);
    tcase_add_test(tcase, bad_policies);
    tcase_add_test(tcase, unseen_ids);
    tcase_add_test(tcase, unseen_ids_by_default_row);
    tcase_add_test(tcase, unseen_ids_refused);
    tcase_add_test(tcase, weight_of_unseen_id);
    tcase_add_test(tcase, sign_of_zero);
    tcase_add_test(tcase, sign_of_zero_beside_others);
    tcase_add_test(tcase, nothing_asked);
    tcase_add_test(tcase, no_rows);
    tcase_add_test(tcase, rows_past_the_end);
    suite_add_tcase(suite, tcase);
    return suite;
}
