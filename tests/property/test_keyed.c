/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Keyed tables of random and of awkward keys: each key finds its row, no other
 * id finds any, and pooling by keys is pooling by the rows' numbers. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "storage/table/table_reader.h"
#include "tests/lib/keyed_files.h"
#include "tests/lib/pool_parts.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

#define DIM 9u

enum key_set {
    RANDOM,
    SMALL,       /* 0, 1, 2.. */
    LARGE,       /* 2^64 - 1 and down */
    SAME_HALVES, /* the upper half is the lower one */
    ONE_BIT,     /* apart in few bits */
    STRIDED,     /* multiples of 2^32 */
    N_KEY_SETS
};

static uint64_t *keys;
static size_t n_keys;
static struct table *table;
static uint8_t *source; /* rows as they were appended */
static size_t row_bytes;

static uint64_t make_key(enum key_set set, uint64_t i, struct rng *rng)
{
    switch (set) {
    case SMALL:
        return i;
    case LARGE:
        return UINT64_MAX - i;
    case SAME_HALVES:
        return i << 32 | i;
    case ONE_BIT:
        return UINT64_C(0x8000000000000000) >> i % 64 | i / 64 << 20;
    case STRIDED:
        return i << 32;
    default:
        return rng_next(rng);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Distinct keys, n at most, in an order of their own. */
static void make_keys(enum key_set set, size_t n)
{
    struct rng rng = {n + set};
    keys = calloc(n + 1, sizeof(*keys));
    ck_assert_ptr_nonnull(keys);
    for (size_t i = 0; i < n; i++) {
        keys[i] = make_key(set, i, &rng);
    }
    qsort(keys, n, sizeof(*keys), compare);
    n_keys = n > 0;
    for (size_t i = 1; i < n; i++) {
        if (keys[i] != keys[n_keys - 1]) {
            keys[n_keys++] = keys[i];
        }
    }
    for (size_t i = n_keys; i > 1; i--) {
        size_t j = rng_below(&rng, i);
        uint64_t key = keys[j];
        keys[j] = keys[i - 1];
        keys[i - 1] = key;
    }
}

static void open_table(enum key_set set, size_t n, unsigned threads)
{
    struct nb_errctx err = {""};
    struct nb_format format = table_file_format(DIM);
    ck_assert_int_eq(nb_row_bytes(&format, &row_bytes), 0);
    make_keys(set, n);
    const char *path =
        keyed_file_write("keyed.nbt", DIM, keys, n_keys, threads);
    int rv = table_open(path, TABLE_VERIFY_FULL, &table, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    source = table_file_rows(DIM, n_keys);
}

static void close_table(void)
{
    table_close(table);
    free(source);
    free(keys);
}

static void assert_found(void)
{
    uint8_t *rows = malloc(n_keys * row_bytes + 1);
    ck_assert_ptr_nonnull(rows);
    const struct nb_lookup lookup = {.ids = {.u64 = keys, .n = n_keys},
                                     .dtype = NB_PACKED};
    uint64_t unseen = 77;
    ck_assert_int_eq(nb_lookup(table_rows(table), &lookup, rows, &unseen), 0);
    ck_assert_uint_eq(unseen, 0);
    ck_assert_mem_eq(rows, source, n_keys * row_bytes);
    free(rows);
}

/* Ids that differ from keys in one bit, but for those that are keys. */
static void assert_others_unseen(void)
{
    uint64_t ids[64];
    uint8_t rows[64 * 16];
    struct rng rng = {n_keys};
    uint64_t *sorted = malloc(n_keys * sizeof(*sorted));
    ck_assert_ptr_nonnull(sorted);
    memcpy(sorted, keys, n_keys * sizeof(*keys));
    qsort(sorted, n_keys, sizeof(*sorted), compare);
    ck_assert_uint_le(row_bytes, 16);
    for (int round = 0; round < 50; round++) {
        uint64_t expected = 0;
        uint64_t key = keys[rng_below(&rng, n_keys)];
        for (size_t i = 0; i < 64; i++) {
            ids[i] = key ^ UINT64_C(1) << i;
            expected += bsearch(&ids[i], sorted, n_keys, sizeof(*sorted),
                                compare) == NULL;
        }
        const struct nb_lookup lookup = {.ids = {.u64 = ids, .n = 64},
                                         .dtype = NB_PACKED};
        uint64_t unseen = 77;
        ck_assert_int_eq(nb_lookup(table_rows(table), &lookup, rows, &unseen),
                         0);
        ck_assert_uint_eq(unseen, expected);
    }
    free(sorted);
}

static const size_t sizes[] = {1,    2,    3,     64,    65,    1000,
                               2048, 2049, 10000, 30000, 100000};
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

START_TEST(keys_find_their_rows)
{
    enum key_set set = (enum key_set)(_i % N_KEY_SETS);
    open_table(set, sizes[(size_t)_i / N_KEY_SETS], 1 + (unsigned)_i % 3);
    const struct table_info *info = table_info(table);
    ck_assert_str_eq(info->keys, "numbers");
    ck_assert_uint_eq(info->n_rows, n_keys);
    if (n_keys >= 2048) {
        ck_assert_uint_le(2 * info->keys_bytes, n_keys);
    }
    for (uint64_t i = 0; i < n_keys; i += 1 + n_keys / 100) {
        uint64_t key = table_key(table, i);
        uint8_t row[16];
        uint8_t same[16];
        uint64_t unseen;
        const struct nb_lookup lookup = {.ids = {.u64 = &key, .n = 1},
                                         .dtype = NB_PACKED};
        ck_assert_int_eq(nb_decode(table_rows(table), i, 1, NB_PACKED, row), 0);
        ck_assert_int_eq(nb_lookup(table_rows(table), &lookup, same, &unseen),
                         0);
        ck_assert_mem_eq(row, same, row_bytes);
    }
    assert_found();
    assert_others_unseen();
    close_table();
}
END_TEST

START_TEST(same_file_for_any_threads)
{
    size_t n;
    size_t n_again;
    make_keys(RANDOM, 20000);
    uint8_t *one =
        scratch_read(keyed_file_write("one.nbt", DIM, keys, n_keys, 1), &n);
    uint8_t *many = scratch_read(
        keyed_file_write("many.nbt", DIM, keys, n_keys, 7), &n_again);
    ck_assert_uint_eq(n, n_again);
    ck_assert_mem_eq(one, many, n);
    free(one);
    free(many);
    free(keys);
}
END_TEST

/* Rows by number in the order of the file, to compare with. */
static struct nb_rows dense_view(void)
{
    struct nb_rows rows = *table_rows(table);
    rows.keys = NULL;
    return rows;
}

static void assert_pooled(const struct nb_pool *by_key,
                          const struct nb_pool *by_row)
{
    struct nb_rows dense = dense_view();
    float *got = calloc(by_key->n_bags, DIM * sizeof(*got));
    float *want = calloc(by_key->n_bags, DIM * sizeof(*want));
    uint64_t unseen[2] = {77, 78};
    ck_assert_int_eq(nb_pool(table_rows(table), by_key, got, &unseen[0]), 0);
    ck_assert_int_eq(nb_pool(&dense, by_row, want, &unseen[1]), 0);
    ck_assert_uint_eq(unseen[0], unseen[1]);
    ck_assert_mem_eq(got, want, by_key->n_bags * DIM * sizeof(*got));
    struct rng rng = {by_key->ids.n};
    pool_parts_check(table_rows(table), by_key, want, unseen[1], &rng);
    free(got);
    free(want);
}

/* Bags of 0 to 700 ids, some unseen, under each policy and pooling. */
START_TEST(pools_as_by_row_numbers)
{
    enum {
        N = 6000,
        BAGS = 40
    };
    static uint64_t ids[N];
    static uint64_t numbers[N];
    static float weights[N];
    uint32_t lengths[BAGS];
    struct rng rng = {(uint64_t)_i};
    size_t n = 0;
    open_table(SMALL, 5000, 2);
    for (size_t b = 0; b < BAGS; b++) {
        lengths[b] = (uint32_t)rng_below(&rng, b % 8 == 0 ? 700 : 30);
        for (uint32_t i = 0; i < lengths[b]; i++, n++) {
            uint64_t row = rng_below(&rng, 5000);
            bool seen = _i % 2 == 0 || rng_below(&rng, 4) > 0;
            ids[n] = seen ? table_key(table, row) : 5000 + row;
            numbers[n] = seen ? row : UINT64_MAX;
            weights[n] = (float)rng_unit(&rng);
        }
    }
    ck_assert_uint_le(n, N);
    struct nb_pool by_key = {
        .ids = {.u64 = ids, .n = n},
        .lengths = lengths,
        .n_bags = BAGS,
        .pooling = (uint32_t)_i % 3,
        .unseen = {.action = (uint32_t)_i / 6, .default_row = 17},
    };
    by_key.weights = by_key.pooling == NB_MAX ? NULL : weights;
    struct nb_pool by_row = by_key;
    by_row.ids.u64 = numbers;
    assert_pooled(&by_key, &by_row);
    /* Keys here fit 32 bits. */
    static uint32_t narrow[N];
    for (size_t i = 0; i < n; i++) {
        narrow[i] = (uint32_t)ids[i];
    }
    by_key.ids = (struct nb_ids){.u32 = narrow, .n = n};
    assert_pooled(&by_key, &by_row);
    close_table();
}
END_TEST

START_TEST(unseen_may_be_an_error)
{
    const uint64_t ids[] = {0, 9};
    const uint32_t length = 2;
    float out[2 * DIM];
    uint64_t unseen = 77;
    open_table(SMALL, 9, 1);
    const struct nb_lookup lookup = {.ids = {.u64 = ids, .n = 2},
                                     .unseen = {.action = NB_UNSEEN_ERROR}};
    const struct nb_pool pool = {.ids = {.u64 = ids, .n = 2},
                                 .lengths = &length,
                                 .n_bags = 1,
                                 .unseen = {.action = NB_UNSEEN_ERROR}};
    ck_assert_int_eq(nb_lookup(table_rows(table), &lookup, out, &unseen),
                     NB_ERR_UNSEEN);
    ck_assert_int_eq(nb_pool(table_rows(table), &pool, out, &unseen),
                     NB_ERR_UNSEEN);
    ck_assert_uint_eq(unseen, 77);
    close_table();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("keyed");
    TCase *tc = tcase_create("keyed");
    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, keys_find_their_rows, 0,
                        (int)(N_SIZES * N_KEY_SETS));
    tcase_add_test(tc, same_file_for_any_threads);
    tcase_add_loop_test(tc, pools_as_by_row_numbers, 0, 12);
    tcase_add_test(tc, unseen_may_be_an_error);
    suite_add_tcase(suite, tc);
    return suite;
}
