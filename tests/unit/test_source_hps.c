/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/builder/table_builder.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/source_checks.h"

static const float SIX[6] = {1, -2, 0.5f, 4, 1e-3f, 7};
static const int64_t KEYS[3] = {-1, 42, INT64_MAX};

static const struct source_options AUTO;
static const struct source_options HPS = {.format = "hps"};

static void setup(void)
{
    scratch_create();
    ck_assert_int_eq(mkdir(scratch_path("model"), 0700), 0);
}

static void teardown(void)
{
    unlink(scratch_path("model/key"));
    unlink(scratch_path("model/emb_vector"));
    scratch_remove();
}

/* A model of so many bytes of each file. */
static const char *write_model(size_t key_bytes, size_t vector_bytes)
{
    scratch_write("model/key", KEYS, key_bytes);
    scratch_write("model/emb_vector", SIX, vector_bytes);
    return scratch_path("model");
}

START_TEST(rows)
{
    const char *path = write_model(sizeof(KEYS), sizeof(SIX));
    source_check_rows(path, &AUTO, "hps", SIX, 3, 2);
    source_check_rows(path, &HPS, "hps", SIX, 3, 2);
    source_check_rows(scratch_path("model/"), &AUTO, "hps", SIX, 3, 2);
    source_check_rows(path, &(struct source_options){.dim = 2}, "hps", SIX, 3,
                      2);
    source_check_rows(write_model(8, sizeof(SIX)), &AUTO, "hps", SIX, 1, 6);
}
END_TEST

START_TEST(refused)
{
    source_check_refused(write_model(8, 0), &HPS, NB_ERR_SOURCE,
                         "emb_vector: 0 bytes are not 1 rows");
    source_check_refused(write_model(0, 24), &HPS, NB_ERR_SOURCE,
                         "are not 0 rows");
    source_check_refused(write_model(16, 20), &HPS, NB_ERR_SOURCE,
                         "20 bytes are not 2 rows");
    source_check_refused(write_model(24, 23), &HPS, NB_ERR_SOURCE,
                         "23 bytes are not 3 rows");
    source_check_refused(write_model(24, 8), &HPS, NB_ERR_SOURCE,
                         "8 bytes are not 3 rows");
    source_check_refused(write_model(23, 24), &HPS, NB_ERR_SOURCE,
                         "key: 23 bytes are not whole int64 keys");
    source_check_refused(write_model(24, 24),
                         &(struct source_options){.dim = 3}, NB_ERR_INVALID,
                         "rows are of 2 values, not 3");
    write_model(8, 24);
    ck_assert_int_eq(
        truncate(scratch_path("model/emb_vector"), 4 * ((off_t)NB_DIM_MAX + 1)),
        0);
    source_check_refused(scratch_path("model"), &HPS, NB_ERR_UNSUPPORTED,
                         "65537 values a row");
}
END_TEST

START_TEST(other_directories)
{
    source_check_refused(scratch_path("model"), &AUTO, -EISDIR, "model: is a");
    source_check_refused(scratch_path("model"), &HPS, -ENOENT,
                         "model/emb_vector: cannot open");
    scratch_write("model/emb_vector", SIX, 24);
    source_check_refused(scratch_path("model"), &AUTO, -ENOENT,
                         "model/key: cannot open");
    source_check_refused(scratch_path("model"),
                         &(struct source_options){.format = "npy"}, -EISDIR,
                         "model: is a");
    source_check_refused(scratch_path("model/emb_vector"), &HPS, -ENOTDIR,
                         "emb_vector/emb_vector");
}
END_TEST

/* A file of the directory is the source, too. */
START_TEST(not_replaced_by_its_table)
{
    const struct build_options options = {
        .input = write_model(sizeof(KEYS), sizeof(SIX)),
        .output = scratch_path("model/emb_vector"),
        .codec = "q4",
        .search = "asym",
    };
    struct build_report report;
    struct nb_errctx err;
    ck_assert_int_eq(table_build(&options, &report, &err), NB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "is the input"));
}
END_TEST

START_TEST(named_by_its_directory)
{
    write_model(sizeof(KEYS), sizeof(SIX));
    const struct build_options options = {
        .input = scratch_path("model/"),
        .output = scratch_path("t.nbt"),
        .codec = "q4",
        .search = "asym",
    };
    struct build_report report;
    struct nb_errctx err;
    struct table *table;
    ck_assert_int_eq(table_build(&options, &report, &err), 0);
    ck_assert_int_eq(
        table_open(options.output, TABLE_VERIFY_FULL, &table, &err), 0);
    ck_assert_str_eq(table_info(table)->source, "model");
    table_close(table);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("source_hps");
    TCase *tests = tcase_create("hps");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, rows);
    tcase_add_test(tests, refused);
    tcase_add_test(tests, other_directories);
    tcase_add_test(tests, not_replaced_by_its_table);
    tcase_add_test(tests, named_by_its_directory);
    suite_add_tcase(suite, tests);
    return suite;
}
