/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Tables kept in memory in all ways there are. */
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "storage/table/table_reader.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

#define DIM    50u
#define N_ROWS ((size_t)300000) /* 8.7 MB: some huge pages, and some more */

#define NOBODY 65534

static struct nb_errctx err;

static struct table *open_rows(size_t n_rows, const char **path)
{
    struct table *table;
    *path = table_file_write("t.nbt", DIM, n_rows);
    int rv = table_open(*path, TABLE_VERIFY_HEADER, &table, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return table;
}

static int step(void *arg, uint64_t bytes)
{
    *(uint64_t *)arg += bytes;
    return 0;
}

static int refuse(void *arg, uint64_t bytes)
{
    (void)arg;
    (void)bytes;
    return -ECANCELED;
}

START_TEST(rows_are_the_same)
{
    enum table_residency how = (enum table_residency)_i;
    const char *path;
    uint64_t read = 0;
    const struct io_pace counting = {step, &read};
    struct table *table = open_rows(N_ROWS, &path);
    uint8_t *rows = table_file_rows(DIM, N_ROWS);
    ck_assert_int_eq(table_residency(table), RESIDENCY_MAP);
    int rv = table_reside(table, how, &counting, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert_int_eq(table_residency(table), how);
    ck_assert_mem_eq(table_rows(table)->base, rows, N_ROWS * 29);
    uint64_t bytes = table_info(table)->file_bytes;
    ck_assert_uint_eq(read, how == RESIDENCY_MAP ? 0 : bytes);
    /* Nothing is left to read. */
    ck_assert_int_eq(table_prefault(table, &counting), 0);
    ck_assert_uint_eq(read, bytes);
    if (how == RESIDENCY_HUGE) {
        /* A copy: the file may even go bad. */
        ck_assert_int_eq(truncate(path, 0), 0);
        ck_assert_mem_eq(table_rows(table)->base, rows, N_ROWS * 29);
        ck_assert_uint_eq(table_huge_bytes(table) % (2u << 20), 0);
    } else {
        ck_assert_uint_eq(table_huge_bytes(table), 0);
    }
    table_close(table);
    free(rows);
}
END_TEST

START_TEST(what_the_pace_says_ends_it)
{
    enum table_residency how = (enum table_residency)_i;
    const struct io_pace refusing = {refuse, NULL};
    const char *path;
    struct table *table = open_rows(300, &path);
    ck_assert_int_eq(table_reside(table, how, &refusing, &err), -ECANCELED);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_int_eq(table_residency(table), RESIDENCY_MAP);
    ck_assert_int_eq(table_reside(table, how, NULL, &err), 0);
    table_close(table);
}
END_TEST

START_TEST(a_file_cut_short_is_an_error)
{
    enum table_residency how = (enum table_residency)_i;
    const char *path;
    struct table *table = open_rows(3000, &path);
    ck_assert_int_eq(truncate(path, 4096), 0);
    ck_assert_int_eq(table_reside(table, how, NULL, &err), -EFAULT);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    table_close(table);
}
END_TEST

START_TEST(locking_needs_a_limit)
{
    const struct rlimit limit = {4096, 4096};
    const char *path;
    struct table *table = open_rows(3000, &path);
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    bool root = geteuid() == 0; /* who may lock anything */
    if (root) {
        ck_assert_int_eq(seteuid(NOBODY), 0);
    }
    int rv = table_reside(table, RESIDENCY_LOCK, NULL, &err);
    if (root) {
        ck_assert_int_eq(seteuid(0), 0);
    }
    ck_assert_int_eq(rv, -ENOMEM);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_ptr_nonnull(strstr(err.text, "may lock 4096 (RLIMIT_MEMLOCK"));
    ck_assert_int_eq(table_residency(table), RESIDENCY_MAP);
    table_close(table);
}
END_TEST

START_TEST(no_memory_for_a_copy)
{
    const char *path;
    struct table *table = open_rows(N_ROWS, &path);
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = 1 << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    int rv = table_reside(table, RESIDENCY_HUGE, NULL, &err);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    ck_assert_int_eq(rv, -ENOMEM);
    ck_assert_ptr_nonnull(strstr(err.text, "no memory for a copy"));
    ck_assert_int_eq(table_residency(table), RESIDENCY_MAP);
    table_close(table);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("table_map");
    TCase *tcase = tcase_create("reside");
    tcase_add_checked_fixture(tcase, scratch_create, scratch_remove);
    tcase_add_loop_test(tcase, rows_are_the_same, RESIDENCY_MAP,
                        RESIDENCY_HUGE + 1);
    tcase_add_loop_test(tcase, what_the_pace_says_ends_it, RESIDENCY_POPULATE,
                        RESIDENCY_HUGE + 1);
    tcase_add_loop_test(tcase, a_file_cut_short_is_an_error, RESIDENCY_POPULATE,
                        RESIDENCY_HUGE + 1);
    tcase_add_test(tcase, locking_needs_a_limit);
    tcase_add_test(tcase, no_memory_for_a_copy);
    suite_add_tcase(suite, tcase);
    return suite;
}
