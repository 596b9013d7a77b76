/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Tables kept in memory in all ways there are. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

#define FAR_ROW 81920u /* a multiple of 4096, behind what opening reads */
#define LOOK    7u
#define AT(row) (4096u + (uint64_t)29 * (row))

/* Pages that are mapped stay. */
static void evict(const char *path)
{
    int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fsync(fd), 0);
    ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
}

/* Opens the file with none of its pages in memory; NULL: the file system does
 * not give them up. */
static struct table *open_cold(const char *path)
{
    struct table *table;
    const uint64_t first = FAR_ROW;
    const struct nb_ids ids = {.u64 = &first, .n = 1};
    evict(path);
    ck_assert_int_eq(table_open(path, TABLE_VERIFY_HEADER, &table, &err), 0);
    uint64_t page = 0;
    if (table_find_cold(table, &ids, LOOK, 1, &page) == 0) {
        table_close(table);
        return NULL;
    }
    ck_assert_uint_eq(page, AT(FAR_ROW));
    return table;
}

static void check_cold_pages(const char *path, struct table *table)
{
    /* Row 141 from there stands in two pages, 5 and 6 in one. */
    const uint64_t wanted[] = {FAR_ROW + 141, FAR_ROW + 5, FAR_ROW + 6, N_ROWS,
                               UINT64_MAX};
    const struct nb_ids ids = {.u64 = wanted, .n = 5};
    const uint32_t narrow[] = {FAR_ROW + 5, (uint32_t)N_ROWS};
    const struct nb_ids ids32 = {.u32 = narrow, .n = 2};
    uint64_t pages[8];
    ck_assert(table_may_be_cold(table));
    ck_assert_uint_eq(table_find_cold(table, &ids, LOOK, 8, pages), 4);
    ck_assert_uint_eq(pages[0], AT(FAR_ROW + 141));
    ck_assert_uint_eq(pages[1], (AT(FAR_ROW + 142) - 1) / 4096 * 4096);
    ck_assert_uint_eq(table_find_cold(table, &ids, LOOK, 1, pages), 1);
    ck_assert_uint_eq(table_find_cold(table, &ids32, LOOK, 8, pages), 1);
    ck_assert_uint_eq(table_find_cold(table, &ids, LOOK, 8, pages), 4);
    table_read_pages(table, pages, 4);
    ck_assert_uint_eq(table_find_cold(table, &ids, LOOK, 8, pages), 0);

    /* Gone again: this look and the next do not ask, the one after does. */
    uint8_t *base = (uint8_t *)table_rows(table)->base - 4096;
    ck_assert_int_eq(madvise(base, 4096 + (size_t)29 * N_ROWS, MADV_DONTNEED),
                     0);
    evict(path);
    ck_assert_uint_eq(table_find_cold(table, &ids, LOOK, 8, pages), 0);
    ck_assert_uint_eq(table_find_cold(table, &ids, LOOK + 1, 8, pages), 0);
    ck_assert_uint_eq(table_find_cold(table, &ids, LOOK + 2, 8, pages), 4);
}

START_TEST(cold_pages_are_found_and_read)
{
    const char *path = table_file_write("t.nbt", DIM, N_ROWS);
    bool other = _i == 1; /* who has not made the file */
    if (other && geteuid() != 0) {
        return;
    }
    ck_assert_int_eq(chmod(scratch_path("."), 0755), 0);
    if (other) {
        ck_assert_int_eq(seteuid(NOBODY), 0);
    }
    bool readable = faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0;
    struct table *table = readable ? open_cold(path) : NULL;
    if (table != NULL && !other) {
        check_cold_pages(path, table);
    } else if (table != NULL) {
        /* The look has begun to read what it found. */
        const uint64_t wanted = 9000;
        const struct nb_ids ids = {.u64 = &wanted, .n = 1};
        uint64_t page;
        ck_assert_uint_eq(table_find_cold(table, &ids, LOOK, 1, &page), 1);
        table_read_pages(table, &page, 1);
        ck_assert_uint_eq(table_find_cold(table, &ids, LOOK, 1, &page), 0);
    }
    table_close(table);
    if (other) {
        ck_assert_int_eq(seteuid(0), 0);
    }
}
END_TEST

static unsigned count_descriptors(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

/* Only of files of others there is something to ask a descriptor. */
START_TEST(a_file_of_ones_own_takes_no_descriptor)
{
    const char *path;
    unsigned n = count_descriptors();
    struct table *table = open_rows(300, &path);
    ck_assert_uint_eq(count_descriptors(), n);
    table_close(table);
}
END_TEST

START_TEST(what_cannot_be_cold)
{
    const char *path;
    struct table *table = open_rows(300, &path);
    ck_assert_int_eq(table_reside(table, RESIDENCY_HUGE, NULL, &err), 0);
    ck_assert(!table_may_be_cold(table));
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
    tcase_add_loop_test(tcase, cold_pages_are_found_and_read, 0, 2);
    tcase_add_test(tcase, a_file_of_ones_own_takes_no_descriptor);
    tcase_add_test(tcase, what_cannot_be_cold);
    suite_add_tcase(suite, tcase);
    return suite;
}
