/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* How far a part goes, and how it fails. That parts give the bytes of the whole
 * is held by the property tests. */
#include "quant/pooling.h"

#include <stdlib.h>
#include <string.h>

#include "quant/protect.h"
#include "tests/lib/run_suite.h"

enum {
    N_ROWS = 8,
    MANY = 10000,
    DIM = 300 /* over a tile */
};

static float values[N_ROWS * DIM];
static uint64_t ids[MANY];
static uint32_t lengths[MANY];
static float out[MANY];
static struct nb_rows rows;
static struct nb_pool request;
static void *memory;
static struct pooling *pooling;
static uint64_t unseen;

static void setup(void)
{
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        values[i] = (float)(i % 31);
    }
    for (size_t i = 0; i < MANY; i++) {
        ids[i] = i % N_ROWS;
        lengths[i] = 0;
    }
    rows = (struct nb_rows){.format = {4, 1, NB_SCALES_FP32},
                            .base = values,
                            .n_rows = N_ROWS,
                            .stride = sizeof(values[0])};
    request = (struct nb_pool){
        .ids = {.u64 = ids, .n = MANY}, .lengths = lengths, .n_bags = 1};
    lengths[0] = MANY;
    unseen = 77;
    memory = malloc(pooling_bytes());
    ck_assert_ptr_nonnull(memory);
}

static void teardown(void)
{
    free(memory);
}

static void begin(void)
{
    ck_assert_int_eq(
        pooling_begin(memory, NULL, &rows, &request, out, &pooling), 0);
}

/* How many parts that takes. */
static size_t finish(size_t max_ids, size_t max_bags)
{
    size_t n = 0;
    int rv;
    do {
        struct nb_ids ahead = pooling_ahead(pooling, max_ids, max_bags);
        ck_assert_uint_le(ahead.n,
                          max_ids > POOLING_IDS ? max_ids : POOLING_IDS);
        rv = pooling_next(pooling, max_ids, max_bags, &unseen);
        n++;
    } while (rv == 1);
    ck_assert_int_eq(rv, 0);
    return n;
}

START_TEST(a_long_bag_is_parted)
{
    begin();
    ck_assert_uint_ge(finish(1, SIZE_MAX), MANY / POOLING_IDS);
    ck_assert_uint_eq(unseen, 0);
    begin();
    ck_assert_uint_eq(finish(MANY / 2, SIZE_MAX), 3);
    begin();
    ck_assert_uint_eq(finish(SIZE_MAX, SIZE_MAX), 1);
}
END_TEST

/* Tile by tile, and the ids are looked at once a tile. */
START_TEST(a_long_bag_of_long_rows_is_parted)
{
    uint32_t tile = kernel_find(KERNEL_sum, rows.format.codec)->tile;
    size_t n_tiles = (DIM + tile - 1) / tile;
    ck_assert_uint_ge(n_tiles, 2);
    rows.format.dim = DIM;
    rows.stride = sizeof(values[0]) * DIM;
    begin();
    ck_assert_uint_ge(finish(1, SIZE_MAX), n_tiles * (MANY / POOLING_IDS));
    begin();
    ck_assert_uint_eq(finish(SIZE_MAX, SIZE_MAX), n_tiles);
}
END_TEST

START_TEST(bags_without_ids_are_parted)
{
    lengths[0] = 0;
    request.ids.n = 0;
    request.n_bags = MANY;
    begin();
    ck_assert_uint_ge(finish(SIZE_MAX, 1), MANY / KERNEL_BLOCK);
    request.n_bags = 0;
    begin();
    ck_assert_uint_eq(finish(1, 1), 1);
    ck_assert_uint_eq(unseen, 0);
}
END_TEST

START_TEST(protected_bags_are_parted_between)
{
    static const struct nb_protected_block none;
    static const struct nb_protected protect = {
        .blocks = &none, .residuals = values, .stride = sizeof(values[0])};
    rows.protect = &protect;
    request.pooling = NB_MAX;
    request.n_bags = 10;
    for (size_t b = 0; b < 10; b++) {
        lengths[b] = b == 3 ? 0 : b == 4 ? 2000 : 1000;
    }
    begin();
    ck_assert_uint_eq(pooling_ahead(pooling, 1, 1).n, 1000);
    ck_assert_int_eq(pooling_next(pooling, 2999, SIZE_MAX, &unseen), 1);
    ck_assert_ptr_eq(pooling_ahead(pooling, 1, 1).u64, ids + 2000);
    ck_assert_int_eq(pooling_next(pooling, SIZE_MAX, 2, &unseen), 1);
    ck_assert_ptr_eq(pooling_ahead(pooling, 1, 1).u64, ids + 3000);
    ck_assert_uint_eq(pooling_ahead(pooling, 1, 1).n, 2000);
    ck_assert_int_eq(pooling_next(pooling, SIZE_MAX, SIZE_MAX, &unseen), 0);
    ck_assert_uint_eq(unseen, 0);
    for (size_t b = 0; b < 10; b++) { /* values are 0 to 7 */
        ck_assert(out[b] == (b == 3 ? 0 : 7));
    }
}
END_TEST

START_TEST(errors_in_the_middle)
{
    request.unseen.action = NB_UNSEEN_ERROR;
    ids[MANY / 2] = N_ROWS;
    begin();
    int rv;
    size_t n = 0;
    while ((rv = pooling_next(pooling, 1, 1, &unseen)) == 1) {
        n++;
    }
    ck_assert_int_eq(rv, NB_ERR_UNSEEN);
    ck_assert_uint_ge(n, MANY / POOLING_IDS / 2);
    ck_assert_uint_eq(unseen, 77);
    request.ids.n--;
    ck_assert_int_eq(
        pooling_begin(memory, NULL, &rows, &request, out, &pooling),
        NB_ERR_INVALID);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("pooling");
    TCase *tcase = tcase_create("parts");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_long_bag_is_parted);
    tcase_add_test(tcase, a_long_bag_of_long_rows_is_parted);
    tcase_add_test(tcase, bags_without_ids_are_parted);
    tcase_add_test(tcase, protected_bags_are_parted_between);
    tcase_add_test(tcase, errors_in_the_middle);
    suite_add_tcase(suite, tcase);
    return suite;
}
