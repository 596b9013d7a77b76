/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Tables built with a column transform. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "storage/source/npy_header.h"
#include "storage/builder/table_builder.h"
#include "storage/table/table_params.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define SAMPLE "tests/data/glove-6B-50d-head.txt"

static struct nb_errctx err;
static struct build_report report;

static int build(const char *input, const char *name,
                 enum table_columns columns, unsigned threads)
{
    const struct build_options options = {
        .input = input,
        .source = {.format = "auto"},
        .output = scratch_path(name),
        .codec = "q4",
        .search = "greedy",
        .scales = NB_SCALES_FP16,
        .columns = columns,
        .threads = threads,
    };
    err.text[0] = '\0';
    return table_build(&options, &report, &err);
}

static struct table *built(const char *name)
{
    struct table *table;
    int rv = table_open(scratch_path(name), TABLE_VERIFY_FULL, &table, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return table;
}

static const char *write_matrix(const char *name, const float *x, size_t n_rows,
                                size_t dim)
{
    size_t n = n_rows * dim * sizeof(*x);
    uint8_t *bytes = malloc(NPY_WRITTEN_BYTES + n);
    ck_assert_ptr_nonnull(bytes);
    npy_header_write("<f4", n_rows, dim, bytes);
    memcpy(bytes + NPY_WRITTEN_BYTES, x, n);
    const char *path = scratch_write(name, bytes, NPY_WRITTEN_BYTES + n);
    free(bytes);
    return path;
}

/* Measured: .10505 without, .06062 centered, .05987 scaled. */
START_TEST(glove_loses_less)
{
    static const struct {
        enum table_columns columns;
        enum table_columns chosen;
        double nl2;
    } rows[] = {
        {COLUMNS_NONE, COLUMNS_NONE, 0.1051},
        {COLUMNS_CENTER, COLUMNS_CENTER, 0.0607},
        {COLUMNS_SCALE, COLUMNS_SCALE, 0.0599},
        {COLUMNS_AUTO, COLUMNS_SCALE, 0.0599},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int rv = build(SAMPLE, "t", rows[i].columns, 2);
        ck_assert_msg(rv == 0, "%s", err.text);
        ck_assert_msg(report.stats.nl2 < rows[i].nl2, "nl2 %f of %zu",
                      report.stats.nl2, i);
        ck_assert_int_eq(report.columns, rows[i].chosen);
        struct table *table = built("t");
        ck_assert_int_eq(table_info(table)->columns, rows[i].chosen);
        ck_assert_uint_eq(table_info(table)->params_bytes, report.params_bytes);
        table_close(table);
    }
}
END_TEST

START_TEST(any_number_of_threads)
{
    size_t n;
    size_t m;
    ck_assert_int_eq(build(SAMPLE, "one", COLUMNS_SCALE, 1), 0);
    ck_assert_int_eq(build(SAMPLE, "many", COLUMNS_SCALE, 5), 0);
    uint8_t *one = scratch_read(scratch_path("one"), &n);
    uint8_t *many = scratch_read(scratch_path("many"), &m);
    ck_assert_uint_eq(n, m);
    ck_assert_mem_eq(one, many, n);
    free(one);
    free(many);
}
END_TEST

START_TEST(means_and_deviations)
{
    const float x[4][3] = {{1, 7, 0}, {3, 7, 0}, {1, 7, 0}, {3, 7, 4}};
    const char *path = write_matrix("x.npy", &x[0][0], 4, 3);
    ck_assert_int_eq(build(path, "t", COLUMNS_SCALE, 1), 0);
    struct table *table = built("t");
    const struct nb_params *params = table_rows(table)->params;
    const float mean[3] = {2, 7, 1};
    ck_assert_mem_eq(params->column_mean, mean, sizeof(mean));
    ck_assert(params->column_scale[0] == 1);
    ck_assert(params->column_scale[2] == (float)sqrt(3));
    /* The one that does not vary is not blown up: a part of the others. */
    float least = (float)(sqrt(4.0 / 3) / 1024);
    ck_assert(params->column_scale[1] == least);
    float rows[4][3];
    ck_assert_int_eq(nb_decode(table_rows(table), 0, 4, NB_FP32, rows), 0);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_msg(fabsf(rows[i][1] - 7) < 1e-3f, "%g", (double)rows[i][1]);
    }
    table_close(table);
}
END_TEST

/* All rows the same: nothing varies, and nothing is lost. */
START_TEST(constant_table)
{
    static float x[100][7];
    for (size_t i = 0; i < 700; i++) {
        x[i / 7][i % 7] = 0.1f * (float)(i % 7) - 3e4f;
    }
    const char *path = write_matrix("x.npy", &x[0][0], 100, 7);
    for (enum table_columns c = COLUMNS_CENTER; c <= COLUMNS_AUTO; c++) {
        ck_assert_int_eq(build(path, "t", c, 1), 0);
        ck_assert(report.stats.max_abs == 0);
        struct table *table = built("t");
        float row[7];
        ck_assert_int_eq(nb_decode(table_rows(table), 99, 1, NB_FP32, row), 0);
        ck_assert_mem_eq(row, x[99], sizeof(row));
        table_close(table);
    }
}
END_TEST

/* Columns without means, each as wide: nothing is won, so nothing is kept. */
START_TEST(auto_keeps_none)
{
    static float x[2000][16];
    uint32_t state = 1;
    for (size_t i = 0; i < 1000; i++) {
        for (size_t j = 0; j < 16; j++) {
            state = state * 1664525u + 1013904223u;
            x[i][j] = (float)(int)(state >> 28) - 7.5f;
            x[i + 1000][j] = -x[i][j];
        }
        x[i][3] = x[i + 1000][7] = 7.5f; /* 15 steps of 1: no loss */
        x[i][4] = x[i + 1000][8] = -7.5f;
    }
    const char *path = write_matrix("x.npy", &x[0][0], 2000, 16);
    ck_assert_int_eq(build(path, "t", COLUMNS_AUTO, 1), 0);
    ck_assert_int_eq(report.columns, COLUMNS_NONE);
    ck_assert_uint_eq(report.params_bytes, 0);
    ck_assert_int_eq(build(path, "u", COLUMNS_CENTER, 1), 0);
    ck_assert(report.stats.nl2 > 0);
}
END_TEST

START_TEST(values_that_cannot_be_stored)
{
    /* 250 deviations of a column, but of no row's size. */
    static float x[40000][2];
    for (size_t i = 0; i < 40000; i++) {
        x[i][0] = i % 2 == 0 ? 1 : -1;
        x[i][1] = i % 2 == 0 ? 1e-3f : -1e-3f;
    }
    x[30000][1] = NAN;
    const char *path = write_matrix("x.npy", &x[0][0], 40000, 2);
    ck_assert_int_eq(build(path, "t", COLUMNS_SCALE, 2), NB_ERR_NONFINITE);
    ck_assert_ptr_nonnull(strstr(err.text, "row 30000, column 1"));
    x[30000][1] = 6e6f;
    path = write_matrix("x.npy", &x[0][0], 40000, 2);
    ck_assert_int_eq(build(path, "t", COLUMNS_CENTER, 2), NB_ERR_OVERFLOW);
    ck_assert_ptr_nonnull(strstr(err.text, "row 30000, column 1"));
    /* In units of its own deviation it fits. */
    ck_assert_int_eq(build(path, "t", COLUMNS_SCALE, 2), 0);
    ck_assert_int_eq(build(path, "t", COLUMNS_AUTO, 2), 0);
    ck_assert_int_eq(report.columns, COLUMNS_SCALE);
}
END_TEST

START_TEST(no_rows)
{
    const float none = 0;
    const char *path = write_matrix("x.npy", &none, 0, 2);
    ck_assert_int_eq(build(path, "t", COLUMNS_SCALE, 1), NB_ERR_SOURCE);
    ck_assert_uint_eq(scratch_count(), 1);
}
END_TEST

static unsigned n_training;
static unsigned n_building;

static void count_progress(void *arg, const struct progress *progress)
{
    (void)arg;
    ck_assert(!(progress->training && n_building > 0));
    n_training += progress->training;
    n_building += !progress->training;
}

START_TEST(progress_tells_training)
{
    const struct build_options options = {
        .input = SAMPLE,
        .output = scratch_path("t"),
        .codec = "q4",
        .search = "asym",
        .scales = NB_SCALES_FP16,
        .columns = COLUMNS_CENTER,
        .progress = count_progress,
    };
    ck_assert_int_eq(table_build(&options, &report, &err), 0);
    ck_assert_uint_gt(n_training, 0);
    ck_assert_uint_gt(n_building, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("table_train");
    TCase *tests = tcase_create("columns");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, glove_loses_less);
    tcase_add_test(tests, any_number_of_threads);
    tcase_add_test(tests, means_and_deviations);
    tcase_add_test(tests, constant_table);
    tcase_add_test(tests, auto_keeps_none);
    tcase_add_test(tests, values_that_cannot_be_stored);
    tcase_add_test(tests, no_rows);
    tcase_add_test(tests, progress_tells_training);
    suite_add_tcase(suite, tests);
    return suite;
}
