/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/source/npy_header.h"
#include "storage/source/source.h"
#include "storage/builder/table_builder.h"
#include "storage/export/table_export.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

static struct nb_errctx err;

static struct table *open_table(const char *path)
{
    struct table *table;
    int rv = table_open(path, TABLE_VERIFY_FULL, &table, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return table;
}

/* More rows than a block has, the last block not full. */
START_TEST(npy)
{
    const uint32_t dim = 5;
    const size_t n_rows = 4096 * 2 + 17;
    struct table *table = open_table(table_file_write("t.nbt", dim, n_rows));
    const char *path = scratch_path("t.npy");
    ck_assert_int_eq(table_export(table, "npy", path, &err), 0);

    struct source *source;
    const struct source_options options = {.format = "npy"};
    ck_assert_int_eq(source_open(path, &options, &source, &err), 0);
    ck_assert_uint_eq(source_dim(source), dim);
    ck_assert_uint_eq(source_rows(source), n_rows);
    float *exported = malloc(n_rows * dim * sizeof(float));
    float *decoded = malloc(n_rows * dim * sizeof(float));
    size_t got;
    ck_assert_int_eq(source_read(source, exported, n_rows, &got, &err), 0);
    ck_assert_uint_eq(got, n_rows);
    ck_assert_int_eq(nb_decode(table_rows(table), 0, n_rows, NB_FP32, decoded),
                     0);
    ck_assert_mem_eq(exported, decoded, n_rows * dim * sizeof(float));
    free(exported);
    free(decoded);
    source_close(source);
    table_close(table);
    ck_assert_uint_eq(scratch_count(), 2);
}
END_TEST

START_TEST(fbgemm)
{
    const uint32_t dim = 9;
    const size_t n_rows = 5000;
    struct table *table = open_table(table_file_write("t.nbt", dim, n_rows));
    const char *path = scratch_path("t.npy");
    ck_assert_int_eq(table_export(table, "fbgemm", path, &err), 0);
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    uint8_t *rows = table_file_rows(dim, n_rows);
    uint8_t header[NPY_WRITTEN_BYTES];
    npy_header_write("|u1", n_rows, 9, header);
    ck_assert_uint_eq(n, sizeof(header) + n_rows * 9);
    ck_assert_mem_eq(bytes, header, sizeof(header));
    ck_assert_mem_eq(bytes + sizeof(header), rows, n_rows * 9);
    free(bytes);
    free(rows);
    table_close(table);
}
END_TEST

/* Rows that FBGEMM itself packed from these values. */
START_TEST(fbgemm_golden_rows)
{
    static const struct {
        const char *text;
        size_t n;
        uint8_t row[6];
    } cases[] = {
        {"w 0 1 2 15\n", 6, {0x10, 0xf2, 0x00, 0x3c, 0x00, 0x00}},
        {"w -1 0 1\n", 6, {0x80, 0x0f, 0x44, 0x30, 0x00, 0xbc}},
        {"w 0.3 0.3 0.3 0.3\n", 6, {0xff, 0xff, 0x37, 0x80, 0xcd, 0x34}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct build_options options = {
            .input =
                scratch_write("in.txt", cases[i].text, strlen(cases[i].text)),
            .source = {.format = "glove"},
            .output = scratch_path("t.nbt"),
            .codec = "q4",
            .search = "asym",
            .scales = NB_SCALES_FP16,
        };
        struct build_report report;
        ck_assert_int_eq(table_build(&options, &report, &err), 0);
        struct table *table = open_table(options.output);
        const char *path = scratch_path("t.npy");
        ck_assert_int_eq(table_export(table, "fbgemm", path, &err), 0);
        size_t n;
        uint8_t *bytes = scratch_read(path, &n);
        ck_assert_uint_eq(n, NPY_WRITTEN_BYTES + cases[i].n);
        ck_assert_mem_eq(bytes + NPY_WRITTEN_BYTES, cases[i].row, cases[i].n);
        free(bytes);
        table_close(table);
    }
}
END_TEST

START_TEST(refused)
{
    const char text[] = "w 1 2\n";
    const struct build_options options = {
        .input = scratch_write("in.txt", text, sizeof(text) - 1),
        .source = {.format = "glove"},
        .output = scratch_path("t.nbt"),
        .codec = "q4",
        .search = "asym",
        .scales = NB_SCALES_FP32,
    };
    struct build_report report;
    ck_assert_int_eq(table_build(&options, &report, &err), 0);
    struct table *table = open_table(options.output);
    const char *path = scratch_path("out");
    ck_assert_int_eq(table_export(table, "fbgemm", path, &err),
                     NB_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "fp32"));
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(table_export(table, "csv", path, &err), NB_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "npy fbgemm"));
    ck_assert_int_eq(table_export(table, "npy", scratch_path("no/out"), &err),
                     -ENOENT);
    ck_assert_int_eq(table_export(table, "npy", path, &err), 0);
    ck_assert_uint_eq(scratch_count(), 3);
    table_close(table);
    ck_assert_str_eq(table_export_format_at(0), "npy");
    ck_assert_ptr_null(table_export_format_at(1000));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("table_export");
    TCase *tests = tcase_create("export");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, npy);
    tcase_add_test(tests, fbgemm);
    tcase_add_test(tests, fbgemm_golden_rows);
    tcase_add_test(tests, refused);
    suite_add_tcase(suite, tests);
    return suite;
}
