/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/io/atomic_file.h"
#include "storage/table/table_format.h"
#include "storage/table/table_reader.h"
#include "storage/table/table_writer.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

static struct nb_errctx err;

START_TEST(nothing_before_commit)
{
    const char *path = scratch_path("t.nbt");
    struct nb_format format = table_file_format(4);
    struct table_writer *writer;
    uint8_t row[6] = {0};
    ck_assert_int_eq(table_writer_create(path, &format, &writer, &err), 0);
    ck_assert_int_eq(table_writer_append(writer, row, 1, &err), 0);
    ck_assert_int_ne(access(path, F_OK), 0);
    /* The temporary has no name, or a hidden one. */
    ck_assert_uint_le(scratch_count(), 1);
    table_writer_destroy(writer);
    ck_assert_uint_eq(scratch_count(), 0);
    table_writer_destroy(NULL);
}
END_TEST

START_TEST(replaces_whole)
{
    table_file_write("t.nbt", 4, 10);
    const char *path = table_file_write("t.nbt", 4, 20);
    struct table *table;
    ck_assert_uint_eq(scratch_count(), 1);
    ck_assert_int_eq(table_open(path, TABLE_VERIFY_FULL, &table, &err), 0);
    ck_assert_uint_eq(table_info(table)->n_rows, 20);
    table_close(table);
}
END_TEST

START_TEST(same_input_same_bytes)
{
    const char *path = table_file_write("a.nbt", 7, 33);
    size_t n;
    size_t m;
    uint8_t *first = scratch_read(path, &n);
    uint8_t *second = scratch_read(table_file_write("b.nbt", 7, 33), &m);
    ck_assert_uint_eq(n, m);
    ck_assert_mem_eq(first, second, n);
    free(first);
    free(second);
}
END_TEST

START_TEST(file_mode_follows_umask)
{
    umask(027);
    const char *path = table_file_write("t.nbt", 4, 1);
    struct stat stat_of;
    ck_assert_int_eq(stat(path, &stat_of), 0);
    ck_assert_uint_eq(stat_of.st_mode & 0777, 0640);
}
END_TEST

START_TEST(refuses)
{
    struct nb_format format = table_file_format(4);
    struct table_writer *writer;
    ck_assert_int_eq(
        table_writer_create(scratch_path("none/t"), &format, &writer, &err),
        -ENOENT);
    ck_assert_int_eq(
        table_writer_create(scratch_path("."), &format, &writer, &err),
        -EISDIR);
    ck_assert_int_eq(
        table_writer_create(scratch_path(""), &format, &writer, &err), -EISDIR);
    ck_assert_int_eq(table_writer_create("/dev/null", &format, &writer, &err),
                     NB_ERR_INVALID);
    format.dim = 0;
    ck_assert_int_eq(
        table_writer_create(scratch_path("t"), &format, &writer, &err),
        NB_ERR_INVALID);
    ck_assert_uint_eq(scratch_count(), 0);

    format = table_file_format(4);
    ck_assert_int_eq(
        table_writer_create(scratch_path("t"), &format, &writer, &err), 0);
    ck_assert_int_eq(table_writer_append(writer, "", SIZE_MAX / 2, &err),
                     NB_ERR_TOO_LARGE);
    ck_assert_int_eq(table_writer_commit(writer, NULL, "{}", &err),
                     NB_ERR_INVALID);
    uint8_t row[6] = {0};
    ck_assert_int_eq(table_writer_append(writer, row, 1, &err), 0);
    char *metadata = malloc(TABLE_METADATA_MAX + 2);
    ck_assert_ptr_nonnull(metadata);
    memset(metadata, ' ', TABLE_METADATA_MAX + 1);
    metadata[TABLE_METADATA_MAX + 1] = '\0';
    ck_assert_int_eq(table_writer_commit(writer, NULL, metadata, &err),
                     NB_ERR_TOO_LARGE);
    free(metadata);
    table_writer_destroy(writer);
    ck_assert_uint_eq(scratch_count(), 0);
}
END_TEST

/* A file size limit stands for a full disk: the write that crosses it is short,
 * the next one fails. */
START_TEST(disk_full)
{
    struct nb_format format = table_file_format(4);
    struct table_writer *writer;
    uint8_t rows[6 * 200] = {0};
    struct rlimit limit = {.rlim_cur = 5000, .rlim_max = 5000};
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(
        table_writer_create(scratch_path("t"), &format, &writer, &err), 0);
    ck_assert_int_eq(table_writer_append(writer, rows, 100, &err), 0);
    ck_assert_int_eq(table_writer_append(writer, rows, 200, &err), -EFBIG);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot write"));
    table_writer_destroy(writer);
    ck_assert_uint_eq(scratch_count(), 0);
}
END_TEST

START_TEST(long_and_relative_names)
{
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    struct atomic_file *file;
    const char *path = scratch_path(name);
    ck_assert_int_eq(atomic_file_create(path, &file, &err), 0);
    ck_assert_str_eq(atomic_file_path(file), path);
    ck_assert_int_eq(atomic_file_write(file, "x", 1, 0, &err), 0);
    ck_assert_int_eq(atomic_file_commit(file, &err), 0);
    atomic_file_destroy(file);
    ck_assert_int_eq(access(path, F_OK), 0);

    ck_assert_int_eq(chdir(scratch_path("")), 0);
    ck_assert_int_eq(atomic_file_create("here", &file, &err), 0);
    ck_assert_int_eq(atomic_file_commit(file, &err), 0);
    atomic_file_destroy(file);
    ck_assert_int_eq(access("here", F_OK), 0);
    ck_assert_uint_eq(scratch_count(), 2);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("table_writer");
    TCase *tests = tcase_create("write");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, nothing_before_commit);
    tcase_add_test(tests, replaces_whole);
    tcase_add_test(tests, same_input_same_bytes);
    tcase_add_test(tests, file_mode_follows_umask);
    tcase_add_test(tests, refuses);
    tcase_add_test(tests, disk_full);
    tcase_add_test(tests, long_and_relative_names);
    suite_add_tcase(suite, tests);
    return suite;
}
