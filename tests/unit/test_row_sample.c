/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/mix64.h"
#include "storage/builder/row_sample.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define ROWS 5000u /* several blocks of dim 65 */
#define DIM  65u

static struct nb_errctx err;
static float values[ROWS * DIM];
static const char *vectors;

static void setup(void)
{
    scratch_create();
    for (size_t i = 0; i < (size_t)ROWS * DIM; i++) {
        values[i] = (float)i;
    }
    vectors = scratch_write("rows.raw", values, sizeof(values));
}

/* Weights are lines of text, or NULL. */
static int take(const char *weights_text, size_t max_rows,
                struct row_sample *sample)
{
    const struct source_options raw = {.format = "raw", .dim = DIM};
    struct source *source;
    struct row_weights *weights = NULL;
    ck_assert_int_eq(source_open(vectors, &raw, &source, &err), 0);
    if (weights_text != NULL) {
        const char *path =
            scratch_write("w.txt", weights_text, strlen(weights_text));
        ck_assert_int_eq(row_weights_open(path, &weights, &err), 0);
    }
    const struct sample_options options = {
        .source = source, .weights = weights, .max_rows = max_rows};
    int rv = row_sample_take(&options, sample, &err);
    row_weights_close(weights);
    source_close(source);
    return rv;
}

/* Rows ascend and have their own values. */
static void assert_consistent(const struct row_sample *sample)
{
    ck_assert_uint_eq(sample->dim, DIM);
    ck_assert_uint_eq(sample->n_source, ROWS);
    for (size_t i = 0; i < sample->n; i++) {
        ck_assert(i == 0 || sample->rows[i] > sample->rows[i - 1]);
        ck_assert_mem_eq(sample->values + i * DIM,
                         values + sample->rows[i] * DIM, DIM * sizeof(float));
    }
}

START_TEST(all_rows_where_they_fit)
{
    static const size_t rooms[] = {ROWS, ROWS + 1, 0};
    for (size_t i = 0; i < 3; i++) {
        struct row_sample sample;
        ck_assert_int_eq(take(NULL, rooms[i], &sample), 0);
        ck_assert_uint_eq(sample.n, ROWS);
        ck_assert_ptr_null(sample.weight);
        assert_consistent(&sample);
        row_sample_fini(&sample);
    }
    ck_assert_uint_eq(row_sample_rows(64), 65536);
    ck_assert_uint_eq(row_sample_rows(NB_DIM_MAX), 64);
}
END_TEST

/* The rows of least hash, which is a uniform sample. */
START_TEST(a_part_of_the_rows)
{
    enum {
        N = 700
    };
    struct row_sample sample;
    ck_assert_int_eq(take(NULL, N, &sample), 0);
    ck_assert_uint_eq(sample.n, N);
    assert_consistent(&sample);
    double greatest = 0;
    size_t n_below = 0;
    for (size_t i = 0; i < N; i++) {
        greatest = fmax(greatest,
                        mix64_unit(UINT64_C(0x73616d706c65), sample.rows[i]));
    }
    for (size_t i = 0; i < ROWS; i++) {
        n_below += mix64_unit(UINT64_C(0x73616d706c65), i) <= greatest;
    }
    ck_assert_uint_eq(n_below, N);
    double mean = 0;
    for (size_t i = 0; i < N; i++) {
        mean += (double)sample.rows[i] / N;
    }
    ck_assert(fabs(mean / (ROWS / 2.0) - 1) < 0.05);
    row_sample_fini(&sample);
}
END_TEST

/* Row i is used 1e6 / (i + 1) times. */
static char *zipf_weights(double *weight)
{
    char *text = malloc((size_t)ROWS * 24);
    ck_assert_ptr_nonnull(text);
    size_t n = 0;
    for (size_t i = 0; i < ROWS; i++) {
        unsigned count = (unsigned)(1000000 / (i + 1));
        weight[i] = count;
        n += (size_t)snprintf(text + n, 24, "%u\n", count);
    }
    return text;
}

START_TEST(rows_by_weight)
{
    static double weight[ROWS];
    char *text = zipf_weights(weight);
    struct row_sample sample;
    ck_assert_int_eq(take(text, 300, &sample), 0);
    assert_consistent(&sample);
    /* The hot rows are all there, for themselves; the others share theirs. */
    double least = INFINITY;
    double estimate = 0; /* of sums that the sample is to tell */
    double estimate_odd = 0;
    double exact = 0;
    double exact_odd = 0;
    for (size_t i = 0; i < 300; i++) {
        ck_assert(i >= 20 || sample.rows[i] == i);
        ck_assert(i >= 20 || sample.weight[i] == weight[i]);
        ck_assert(sample.weight[i] >= weight[sample.rows[i]]);
        least = fmin(least, sample.weight[i]);
        estimate += sample.weight[i];
        estimate_odd += sample.rows[i] % 2 != 0 ? sample.weight[i] : 0;
    }
    for (size_t i = 0; i < ROWS; i++) {
        exact += weight[i];
        exact_odd += i % 2 != 0 ? weight[i] : 0;
    }
    ck_assert(sample.weight[299] == least);
    ck_assert(fabs(estimate / exact - 1) < 0.1);
    ck_assert(fabs(estimate_odd / exact_odd - 1) < 0.1);
    row_sample_fini(&sample);
    /* With room for all, every row stands for itself. */
    ck_assert_int_eq(take(text, ROWS, &sample), 0);
    ck_assert_mem_eq(sample.weight, weight, sizeof(weight));
    row_sample_fini(&sample);
    free(text);
}
END_TEST

/* Rows never used come last, and stand for nothing. */
START_TEST(weights_of_zero)
{
    char *text = malloc((size_t)ROWS * 2 + 1);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < ROWS; i++) {
        memcpy(text + 2 * i, i == 17 || i == 4000 ? "5\n" : "0\n", 3);
    }
    struct row_sample sample;
    ck_assert_int_eq(take(text, 10, &sample), 0);
    size_t n_used = 0;
    for (size_t i = 0; i < 10; i++) {
        bool used = sample.rows[i] == 17 || sample.rows[i] == 4000;
        ck_assert(sample.weight[i] == (used ? 5 : 0));
        n_used += used;
    }
    ck_assert_uint_eq(n_used, 2);
    row_sample_fini(&sample);
    free(text);
}
END_TEST

START_TEST(nonfinite_counts_as_zero)
{
    values[3] = NAN;
    values[(size_t)4999 * DIM] = INFINITY;
    vectors = scratch_write("rows.raw", values, sizeof(values));
    struct row_sample sample;
    ck_assert_int_eq(take(NULL, 0, &sample), 0);
    ck_assert_uint_eq(sample.n_nonfinite, 2);
    for (size_t i = 0; i < DIM; i++) {
        /* 0 stands for row 0 of column 3, and for the last of column 0. */
        size_t last = i == 0 ? ROWS - 2 : ROWS - 1;
        ck_assert(sample.extremes[i] == (float)(i == 3 ? 0 : i));
        ck_assert(sample.extremes[DIM + i] == (float)(last * DIM + i));
    }
    ck_assert(sample.values[3] == 0);
    ck_assert(sample.values[(size_t)4999 * DIM] == 0);
    row_sample_fini(&sample);
}
END_TEST

START_TEST(halves)
{
    struct row_sample sample;
    struct row_sample half[2];
    char *text = zipf_weights((double[ROWS]){0});
    ck_assert_int_eq(take(text, 301, &sample), 0);
    ck_assert_int_eq(row_sample_split(&sample, &half[0], &half[1], &err), 0);
    ck_assert_uint_eq(half[0].n, 151);
    ck_assert_uint_eq(half[1].n, 150);
    for (size_t i = 0; i < 301; i++) {
        const struct row_sample *of = &half[i % 2];
        ck_assert_uint_eq(of->rows[i / 2], sample.rows[i]);
        ck_assert(of->weight[i / 2] == sample.weight[i]);
        ck_assert_mem_eq(of->extremes, sample.extremes, sizeof(float[2 * DIM]));
    }
    assert_consistent(&half[0]);
    assert_consistent(&half[1]);
    row_sample_fini(&half[0]);
    row_sample_fini(&half[1]);
    row_sample_fini(&sample);
    free(text);
}
END_TEST

START_TEST(errors)
{
    struct row_sample sample;
    ck_assert_int_eq(take("1\n2\n", 0, &sample), NB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "w.txt: 2 weights"));
    const char word[] = "a 1 2\nb x\n";
    struct source *source;
    const struct source_options glove = {.format = "glove"};
    ck_assert_int_eq(source_open(scratch_write("v", word, sizeof(word) - 1),
                                 &glove, &source, &err),
                     0);
    const struct sample_options options = {.source = source};
    ck_assert_int_eq(row_sample_take(&options, &sample, &err), NB_ERR_SOURCE);
    source_close(source);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("row_sample");
    TCase *tests = tcase_create("sample");
    tcase_add_checked_fixture(tests, setup, scratch_remove);
    tcase_add_test(tests, all_rows_where_they_fit);
    tcase_add_test(tests, a_part_of_the_rows);
    tcase_add_test(tests, rows_by_weight);
    tcase_add_test(tests, weights_of_zero);
    tcase_add_test(tests, nonfinite_counts_as_zero);
    tcase_add_test(tests, halves);
    tcase_add_test(tests, errors);
    suite_add_tcase(suite, tests);
    return suite;
}
