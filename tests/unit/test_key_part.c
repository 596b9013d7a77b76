/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "quant/key_probe.h"
#include "storage/table/key_part.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"

static struct key_part_room *room;
static uint64_t hashes[KEY_PART_MAX];
static uint8_t pilots[KEY_PART_MAX + 1];
static uint32_t seed;
static struct key_twins twins;

static void setup(void)
{
    room = key_part_room_create();
    ck_assert_ptr_nonnull(room);
    struct rng rng = {7};
    for (size_t i = 0; i < KEY_PART_MAX; i++) {
        hashes[i] = rng_next(&rng);
    }
}

static void teardown(void)
{
    key_part_room_destroy(room);
}

static int build(uint32_t n, uint32_t n_buckets)
{
    return key_part_build(room, hashes, n, n_buckets, &seed, pilots, &twins);
}

/* Every row is some key's. */
static void assert_minimal(uint32_t n, uint32_t n_buckets)
{
    static bool taken[KEY_PART_MAX];
    memset(taken, 0, sizeof(taken));
    for (uint32_t i = 0; i < n; i++) {
        uint8_t pilot = pilots[key_bucket_of(hashes[i], n_buckets)];
        uint32_t slot = key_slot_of(hashes[i], seed, pilot, n);
        ck_assert_uint_lt(slot, n);
        ck_assert(!taken[slot]);
        taken[slot] = true;
    }
}

static const uint32_t sizes[] = {0,    1,    2,    3,           4,   7,
                                 10,   20,   50,   100,         255, 1000,
                                 2047, 2048, 2300, KEY_PART_MAX};

START_TEST(every_size_has_pilots)
{
    uint32_t n = sizes[_i];
    uint32_t n_buckets = n * 4 / 11 + 1;
    ck_assert_int_eq(build(n, n_buckets), 0);
    ck_assert_uint_lt(seed, NB_KEY_SEEDS);
    assert_minimal(n, n_buckets);
}
END_TEST

/* The part of a table whose parts are of 2,048 keys on average. */
START_TEST(larger_parts_of_a_large_table)
{
    uint32_t n_buckets = key_part_buckets(50000000);
    ck_assert_uint_eq(n_buckets, 745);
    ck_assert_int_eq(build(2300, n_buckets), 0);
    assert_minimal(2300, n_buckets);
}
END_TEST

START_TEST(many_small_parts)
{
    struct rng rng = {(uint64_t)_i + 1};
    uint32_t n = 1 + (uint32_t)rng_below(&rng, 300);
    for (uint32_t i = 0; i < n; i++) {
        hashes[i] = rng_next(&rng);
    }
    ck_assert_int_eq(build(n, key_part_buckets(n)), 0);
    assert_minimal(n, key_part_buckets(n));
}
END_TEST

START_TEST(same_hashes_same_pilots)
{
    uint8_t first[KEY_PART_MAX + 1];
    ck_assert_int_eq(build(2048, 745), 0);
    memcpy(first, pilots, 745);
    memset(pilots, 0xa5, sizeof(pilots));
    ck_assert_int_eq(build(2048, 745), 0);
    ck_assert_mem_eq(first, pilots, 745);
}
END_TEST

START_TEST(twins_are_named)
{
    hashes[1500] = hashes[33];
    ck_assert_int_eq(build(2048, 745), NB_ERR_INVALID);
    ck_assert_uint_eq(twins.a, 33);
    ck_assert_uint_eq(twins.b, 1500);
}
END_TEST

/* All in one bucket; two that no pilot parts. */
START_TEST(chosen_hashes_have_no_pilots)
{
    for (size_t i = 0; i < 100; i++) {
        hashes[i] = (hashes[i] & ~UINT64_C(0xffffffff)) | 5;
    }
    ck_assert_int_eq(build(100, 37), NB_ERR_NOT_FOUND);
}
END_TEST

/* A part has 45 deviations of room, and parts cover all keys. */
START_TEST(shape_of_the_index)
{
    ck_assert_uint_eq(key_part_count(1), 1);
    ck_assert_uint_eq(key_part_count(2048), 1);
    ck_assert_uint_eq(key_part_count(2049), 2);
    ck_assert_uint_eq(key_part_count(UINT64_MAX), UINT64_C(1) << 53);
    for (uint64_t n = 1; n < UINT64_C(1) << 62; n = n * 3 + 1) {
        double bits = 8.0 * key_part_buckets(n) * (double)key_part_count(n);
        ck_assert_double_le(bits, 3.1 * (double)n + 32);
        ck_assert_uint_le(key_part_buckets(n), KEY_PART_MAX);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("key_part");
    TCase *tc = tcase_create("key_part");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, every_size_has_pilots, 0,
                        sizeof(sizes) / sizeof(sizes[0]));
    tcase_add_test(tc, larger_parts_of_a_large_table);
    tcase_add_loop_test(tc, many_small_parts, 0, 200);
    tcase_add_test(tc, same_hashes_same_pilots);
    tcase_add_test(tc, twins_are_named);
    tcase_add_test(tc, chosen_hashes_have_no_pilots);
    tcase_add_test(tc, shape_of_the_index);
    suite_add_tcase(suite, tc);
    return suite;
}
