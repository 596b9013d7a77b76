/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/builder/table_builder.h"
#include "storage/export/table_export.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/source_checks.h"

static struct nb_errctx err;

/* Quantizes the values and exports the table. */
static struct table *make_table(const float *values, size_t n_rows,
                                uint32_t dim, const char *exported)
{
    const struct build_options options = {
        .input = scratch_write("t.bin", values, n_rows * dim * sizeof(float)),
        .source = {.format = "raw", .dim = dim},
        .output = scratch_path("t.nbt"),
        .codec = "q4",
        .search = "asym",
        .scales = NB_SCALES_FP32,
    };
    struct build_report report;
    struct table *table;
    int rv = table_build(&options, &report, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert_int_eq(
        table_open(options.output, TABLE_VERIFY_FULL, &table, &err), 0);
    rv = table_export(table, "glove", exported, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return table;
}

/* What is exported and read again is what the table decodes to, bit for bit:
 * rows of every magnitude, and more of them than are written at once. */
static void assert_round_trip(size_t n_rows, uint32_t dim)
{
    size_t n = n_rows * dim;
    float *values = malloc(n * sizeof(float));
    struct rng rng = {7};
    for (size_t i = 0; i < n; i++) {
        int exponent = (int)(i / dim % 240) - 140;
        values[i] = (float)ldexp(rng_unit(&rng) - 0.5, exponent);
    }
    const char *path = scratch_path("t.txt");
    struct table *table = make_table(values, n_rows, dim, path);
    ck_assert_int_eq(nb_decode(table_rows(table), 0, n_rows, NB_FP32, values),
                     0);
    struct source *source;
    const struct source_options options = {.format = "glove"};
    ck_assert_int_eq(source_open(path, &options, &source, &err), 0);
    ck_assert_uint_eq(source_dim(source), dim);
    float *row = malloc(dim * sizeof(float));
    size_t got;
    for (size_t i = 0; i < n_rows; i++) {
        ck_assert_int_eq(source_read(source, row, 1, &got, &err), 0);
        ck_assert_uint_eq(got, 1);
        ck_assert_msg(memcmp(row, values + i * dim, dim * sizeof(float)) == 0,
                      "row %zu", i);
    }
    ck_assert_int_eq(source_read(source, row, 1, &got, &err), 0);
    ck_assert_uint_eq(got, 0);
    source_close(source);
    table_close(table);
    free(row);
    free(values);
}

START_TEST(round_trips)
{
    assert_round_trip(20000, 5);
    assert_round_trip(300, 127);
    assert_round_trip(7, NB_DIM_MAX);
}
END_TEST

START_TEST(text)
{
    const float values[6] = {0, 15, 7, -0.5f, 7, 0.25f};
    const char *path = scratch_path("t.txt");
    table_close(make_table(values, 2, 3, path));
    static const char expected[] = "0 0 15 7\n1 -0.5 7 0.5\n";
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    ck_assert_str_eq((char *)bytes, expected);
    free(bytes);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("export_glove");
    TCase *tests = tcase_create("glove");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, round_trips);
    tcase_add_test(tests, text);
    suite_add_tcase(suite, tests);
    return suite;
}
