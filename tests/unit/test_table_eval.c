/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "storage/eval/table_eval.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define SAMPLE "tests/data/glove-6B-50d-head.txt"

static struct nb_errctx err;
static const struct source_options AUTO;
static const struct source_options GLOVE = {.format = "glove"};

static struct table *build(const char *input, const char *scales,
                           enum nan_policy nan_policy,
                           struct build_report *report)
{
    const struct build_options options = {
        .input = input,
        .source = {.format = "auto"},
        .output = scratch_path("t.nbt"),
        .codec = "q4",
        .search = "asym",
        .scales = strcmp(scales, "fp32") == 0 ? NB_SCALES_FP32 : NB_SCALES_FP16,
        .nan_policy = nan_policy,
    };
    struct table *table;
    int rv = table_build(&options, report, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    rv = table_open(options.output, TABLE_VERIFY_FULL, &table, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return table;
}

static struct source *open_text(const char *text)
{
    struct source *source;
    int rv = source_open(scratch_write("in.txt", text, strlen(text)), &GLOVE,
                         &source, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return source;
}

static void count_calls(void *arg, const struct progress *progress)
{
    unsigned *calls = arg;
    ++*calls;
    ck_assert_uint_eq(progress->rows_total, 2444);
}

START_TEST(agrees_with_the_builder)
{
    struct build_report built;
    struct table *table = build(SAMPLE, "fp16", NAN_REFUSE, &built);
    struct source *source;
    struct eval_report report;
    unsigned calls = 0;
    ck_assert_int_eq(source_open(SAMPLE, &AUTO, &source, &err), 0);
    ck_assert_int_eq(
        table_eval(table, source, NULL, count_calls, &calls, &report, &err), 0);
    ck_assert_uint_eq(report.losses.n_rows, 2444);
    ck_assert(report.losses.stats.nl2 == built.stats.nl2);
    ck_assert(report.losses.stats.mse == built.stats.mse);
    ck_assert(report.losses.stats.max_abs == built.stats.max_abs);
    ck_assert(report.losses.cosine_mean > 0.99 &&
              report.losses.cosine_mean < 1);
    double values = 2444.0 * 50;
    double bytes = (double)built.file_bytes;
    ck_assert(fabs(report.bits_per_value - 8 * bytes / values) < 1e-12);
    ck_assert(fabs(report.compression - 4 * values / bytes) < 1e-12);
    ck_assert_uint_gt(calls, 0);
    ck_assert_uint_eq(report.losses.n_worst, LOSS_WORST_ROWS);
    for (unsigned i = 1; i < LOSS_WORST_ROWS; i++) {
        ck_assert(report.losses.worst[i].rel_err <=
                  report.losses.worst[i - 1].rel_err);
    }
    source_close(source);
    table_close(table);
}
END_TEST

/* Known errors: q4 rows 0..15 are exact, others are off by known amounts. */
START_TEST(by_hand)
{
    const char exact[] = "a 0 1 15\nb 0 0 0\nc 0 2 30\nd 15 0 7\n";
    const char off[] = "a 0 1 19\nb 3 4 0\nc 0 2 30\nd 15 0 8\n";
    struct build_report built;
    struct table *table =
        build(scratch_write("x.txt", exact, sizeof(exact) - 1), "fp16",
              NAN_REFUSE, &built);
    ck_assert(built.stats.nl2 == 0);
    struct source *source = open_text(off);
    struct eval_report report;
    ck_assert_int_eq(table_eval(table, source, NULL, NULL, NULL, &report, &err),
                     0);
    /* Squares of errors: 16, 25, 0, 1; of x: 362, 25, 904, 289. */
    ck_assert(fabs(report.losses.stats.nl2 - sqrt(42.0 / 1580)) < 1e-12);
    ck_assert(fabs(report.losses.stats.mse - 42.0 / 12) < 1e-12);
    ck_assert(report.losses.stats.max_abs == 4);
    ck_assert_uint_eq(report.losses.n_worst, 4);
    static const uint64_t rows[] = {1, 0, 3, 2};
    const double errors[] = {1, sqrt(16.0 / 362), sqrt(1.0 / 289), 0};
    for (size_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(report.losses.worst[i].row, rows[i]);
        ck_assert(fabs(report.losses.worst[i].rel_err - errors[i]) < 1e-12);
    }
    /* The row whose y is zero has no cosine. */
    double cosine = 286 / sqrt(362.0 * 226) + 1 + 281 / sqrt(289.0 * 274);
    ck_assert(fabs(report.losses.cosine_mean - cosine / 3) < 1e-12);
    source_close(source);
    table_close(table);
}
END_TEST

START_TEST(worst_rows_of_equals_are_the_first)
{
    char text[512];
    size_t n = 0;
    for (int i = 0; i < 14; i++) { /* row 12 is worse than the rest */
        n += (size_t)sprintf(text + n, "w%d 0 %d 15\n", i, i == 12 ? 5 : 1);
    }
    const char exact[] = "0 1 15\n";
    char zeros[512];
    n = 0;
    for (int i = 0; i < 14; i++) {
        n += (size_t)sprintf(zeros + n, "w %s", exact);
    }
    struct build_report built;
    struct table *table =
        build(scratch_write("x.txt", zeros, n), "fp16", NAN_REFUSE, &built);
    struct source *source = open_text(text);
    struct eval_report report;
    ck_assert_int_eq(table_eval(table, source, NULL, NULL, NULL, &report, &err),
                     0);
    ck_assert_uint_eq(report.losses.n_worst, LOSS_WORST_ROWS);
    ck_assert_uint_eq(report.losses.worst[0].row, 12);
    for (unsigned i = 1; i < LOSS_WORST_ROWS; i++) {
        ck_assert_uint_eq(report.losses.worst[i].row, i - 1);
    }
    source_close(source);
    table_close(table);
}
END_TEST

START_TEST(nonfinite_counts_as_zero)
{
    const char text[] = "a 0 nan 15\nb inf 1 15\n";
    struct build_report built;
    struct table *table = build(scratch_write("x.txt", text, sizeof(text) - 1),
                                "fp16", NAN_ZERO, &built);
    struct source *source = open_text(text);
    struct eval_report report;
    ck_assert_int_eq(table_eval(table, source, NULL, NULL, NULL, &report, &err),
                     0);
    ck_assert(report.losses.stats.max_abs == 0);
    source_close(source);
    table_close(table);
}
END_TEST

static void assert_mismatch(const struct table *table, const char *text,
                            const char *words)
{
    struct source *source = open_text(text);
    struct eval_report report;
    ck_assert_int_eq(table_eval(table, source, NULL, NULL, NULL, &report, &err),
                     NB_ERR_INVALID);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
    source_close(source);
}

START_TEST(mismatches)
{
    const char text[] = "a 1 2\nb 3 4\n";
    struct build_report built;
    struct table *table = build(scratch_write("x.txt", text, sizeof(text) - 1),
                                "fp32", NAN_REFUSE, &built);
    assert_mismatch(table, "a 1 2 3\n", "dim 2, the source 3");
    assert_mismatch(table, "a 1 2\n", "2 rows, the source 1");
    assert_mismatch(table, "a 1 2\nb 3 4\nc 5 6\n",
                    "2 rows, the source at least 3");
    struct source *source = open_text("a 1 2\nb x 4\n");
    struct eval_report report;
    ck_assert_int_eq(table_eval(table, source, NULL, NULL, NULL, &report, &err),
                     NB_ERR_SOURCE);
    source_close(source);
    table_close(table);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("table_eval");
    TCase *tests = tcase_create("eval");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, agrees_with_the_builder);
    tcase_add_test(tests, by_hand);
    tcase_add_test(tests, worst_rows_of_equals_are_the_first);
    tcase_add_test(tests, nonfinite_counts_as_zero);
    tcase_add_test(tests, mismatches);
    suite_add_tcase(suite, tests);
    return suite;
}
