/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "storage/eval/auto_choice.h"
#include "tests/lib/row_kinds.h"
#include "tests/lib/run_suite.h"

#define DIM  24u
#define ROWS 120u

static struct nb_errctx err;
static float values[ROWS * DIM];
static float extremes[2 * DIM];
static double weight[ROWS];
static uint64_t numbers[ROWS];
static struct row_sample sample;
static struct auto_choice choice;

static void fill(const struct row_kind *kind)
{
    struct rng rng = {.state = 5};
    sample = (struct row_sample){.values = values,
                                 .rows = numbers,
                                 .n = ROWS,
                                 .dim = DIM,
                                 .n_source = ROWS};
    for (size_t i = 0; i < ROWS; i++) {
        numbers[i] = i;
        weight[i] = 1;
        row_kind_fill(kind, &rng, values + i * DIM, DIM);
    }
    sample.extremes = extremes;
    memcpy(extremes, values, DIM * sizeof(float));
    memcpy(extremes + DIM, values, DIM * sizeof(float));
    for (size_t i = 0; i < (size_t)ROWS * DIM; i++) {
        float *least = &extremes[i % DIM];
        *least = fminf(*least, values[i]);
        least[DIM] = fmaxf(least[DIM], values[i]);
    }
}

static void setup(void)
{
    fill(row_kind_at(0));
}

static void teardown(void)
{
    auto_choice_fini(&choice);
}

static int choose(enum auto_objective objective, double budget,
                  unsigned threads)
{
    const struct auto_options options = {.sample = &sample,
                                         .objective = objective,
                                         .max_bytes_per_value = budget,
                                         .threads = threads};
    auto_choice_fini(&choice);
    return auto_choose(&options, &choice, &err);
}

static double loss_of_line(const struct compared *line,
                           enum auto_objective objective)
{
    return objective == AUTO_MSE ? line->result.losses.stats.nl2
                                 : line->result.bags.nl2[1];
}

/* The chosen one is the least of all that were tried, greedy among them. */
static void assert_least(enum auto_objective objective, const char *what)
{
    struct candidate greedy = candidate_baseline(DIM);
    const struct compared *chosen = &choice.lines[choice.chosen];
    double least = loss_of_line(chosen, objective);
    bool seen = false;
    for (size_t i = 0; i < choice.list.n; i++) {
        const struct compared *line = &choice.lines[i];
        ck_assert_int_eq(line->rv, 0);
        ck_assert_uint_eq(line->n_rows, ROWS);
        double bytes = (double)line->result.row_bytes +
                       (double)line->result.table_bytes / ROWS;
        if (bytes > choice.record.max_bytes_per_value * DIM + 1e-9) {
            ck_assert(line != chosen);
            continue; /* its rows alone would fit */
        }
        ck_assert_msg(least <= 1.002 * loss_of_line(line, objective),
                      "%s: %s/%s", what, line->candidate.codec,
                      line->candidate.search_name);
        if (candidate_same(&line->candidate, &greedy)) {
            seen = true;
            ck_assert(choice.record.loss_of_greedy ==
                      loss_of_line(line, objective));
        }
    }
    ck_assert_msg(seen, "%s: without greedy", what);
    ck_assert(choice.record.loss == least);
    ck_assert(least <= choice.record.loss_of_greedy);
}

START_TEST(never_worse_than_greedy)
{
    const struct row_kind *kind;
    for (size_t i = 0; (kind = row_kind_at(i)) != NULL; i++) {
        fill(kind);
        for (size_t j = 0; auto_objective_at(j) != NULL; j++) {
            int rv = choose((enum auto_objective)j, 0, 2);
            ck_assert_msg(rv == 0, "%s: %s", kind->name, err.text);
            assert_least((enum auto_objective)j, kind->name);
            ck_assert_str_eq(choice.record.objective, auto_objective_at(j));
        }
    }
}
END_TEST

START_TEST(the_record_says_what_was_done)
{
    ck_assert_int_eq(choose(AUTO_MSE, 0, 1), 0);
    const struct table_choice *record = &choice.record;
    ck_assert_uint_eq(record->n_tried, choice.list.n);
    ck_assert_uint_eq(record->sample_rows, ROWS);
    ck_assert(!record->weighted);
    ck_assert(record->max_bytes_per_value == 16.0 / DIM * 1.02);
    ck_assert(record->loss < record->loss_of_greedy);
}
END_TEST

/* More bytes buy less loss; all of them, none. */
START_TEST(budgets)
{
    ck_assert_int_eq(choose(AUTO_MSE, 0, 1), 0);
    double loss = choice.record.loss;
    size_t n = choice.list.n;
    ck_assert_int_eq(choose(AUTO_MSE, 32.0 / DIM, 1), 0);
    ck_assert_str_eq(choice.lines[choice.chosen].candidate.codec, "q8");
    ck_assert_uint_gt(choice.list.n, n);
    ck_assert(choice.record.loss < loss / 10);
    ck_assert(choice.record.max_bytes_per_value == 32.0 / DIM);
    ck_assert_int_eq(choose(AUTO_MSE, 4, 1), 0);
    ck_assert_str_eq(choice.lines[choice.chosen].candidate.codec, "fp32");
    ck_assert(choice.record.loss == 0);
    ck_assert_int_eq(choose(AUTO_MSE, 0.58, 1), NB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "0.58 bytes a value"));
    ck_assert_ptr_nonnull(strstr(err.text, "the least for rows of 24 values"));
    ck_assert_ptr_nonnull(strstr(err.text, "is 0.5833"));
    /* Rows would fit, but not with their codebooks. */
    ck_assert_int_eq(choose(AUTO_MSE, 0.5834, 1), NB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "with what rows share"));
}
END_TEST

/* Of equal losses the one of fewer bytes: here 16 levels hold all values. */
START_TEST(fewer_bytes_of_equal_losses)
{
    for (size_t i = 0; i < (size_t)ROWS * DIM; i++) {
        values[i] = (float)(i % DIM % 16);
    }
    ck_assert_int_eq(choose(AUTO_MSE, 4, 1), 0);
    ck_assert(choice.record.loss == 0);
    ck_assert_str_eq(choice.lines[choice.chosen].candidate.codec, "q4");
    ck_assert_str_eq(choice.lines[choice.chosen].candidate.search_name, "asym");
}
END_TEST

/* Errors that are alike in all rows do not fall out of sums: the least loss of
 * rows is not always that of sums. */
START_TEST(objectives_differ)
{
    const struct row_kind *kind;
    size_t n_differ = 0;
    for (size_t i = 0; n_differ == 0 && (kind = row_kind_at(i)) != NULL; i++) {
        fill(kind);
        ck_assert_int_eq(choose(AUTO_POOLED, 0.8, 1), 0);
        size_t pooled = choice.chosen;
        ck_assert_int_eq(choose(AUTO_MSE, 0.8, 1), 0);
        n_differ += choice.chosen != pooled;
    }
    ck_assert_uint_gt(n_differ, 0);
}
END_TEST

/* What counts is the loss of rows that are used. */
START_TEST(weights_decide)
{
    const struct row_kind *gaussian = row_kind_at(0);
    struct rng rng = {.state = 9};
    for (size_t i = 0; i < ROWS; i++) {
        float *row = values + i * DIM;
        row_kind_fill(gaussian, &rng, row, DIM);
        weight[i] = 0;
    }
    /* A row of two values that only asym and its kind store exactly. */
    for (size_t i = 0; i < DIM; i++) {
        values[i] = i == 0 ? 15 : 0;
    }
    sample.weight = weight;
    weight[0] = 1;
    ck_assert_int_eq(choose(AUTO_MSE, 0, 1), 0);
    ck_assert(choice.record.loss == 0);
    ck_assert(choice.record.weighted);
    weight[0] = 0;
    weight[1] = 1;
    ck_assert_int_eq(choose(AUTO_MSE, 0, 1), 0);
    ck_assert(choice.record.loss > 0);
    ck_assert(choice.record.loss <= choice.record.loss_of_greedy);
}
END_TEST

START_TEST(scales_that_hold_all_of_the_source)
{
    extremes[DIM] = 1e6f; /* of a row that is not in the sample */
    ck_assert_int_eq(choose(AUTO_MSE, 0, 1), 0);
    for (size_t i = 0; i < choice.list.n; i++) {
        ck_assert_uint_eq(choice.lines[i].candidate.format.scales,
                          NB_SCALES_FP32);
    }
    ck_assert(choice.record.max_bytes_per_value == 20.0 / DIM * 1.02);
    assert_least(AUTO_MSE, "wide");
    extremes[0] = -3e38f; /* beyond fp32 scales */
    ck_assert_int_eq(choose(AUTO_MSE, 0, 1), NB_ERR_OVERFLOW);
    ck_assert_ptr_nonnull(strstr(err.text, "no codec holds values"));
}
END_TEST

START_TEST(the_same_choice_on_any_number_of_threads)
{
    ck_assert_int_eq(choose(AUTO_POOLED, 1, 1), 0);
    size_t chosen = choice.chosen;
    double loss = choice.record.loss;
    ck_assert_int_eq(choose(AUTO_POOLED, 1, 7), 0);
    ck_assert_uint_eq(choice.chosen, chosen);
    ck_assert(choice.record.loss == loss);
}
END_TEST

/* A mean of columns is worth its bytes only where it is of use. */
START_TEST(columns_where_they_help)
{
    const double budget = 0.8; /* 76 bytes of rows a table for parameters */
    for (size_t i = 0; i < (size_t)ROWS * DIM; i++) {
        values[i] += (float)(i % DIM) * 50;
    }
    ck_assert_int_eq(choose(AUTO_MSE, budget, 1), 0);
    const struct candidate *chosen = &choice.lines[choice.chosen].candidate;
    ck_assert_int_ne(chosen->columns, COLUMNS_NONE);
    ck_assert(choice.record.loss < choice.record.loss_of_greedy / 2);
    /* Without room for the parameters there are none. */
    ck_assert_int_eq(choose(AUTO_MSE, 0, 1), 0);
    chosen = &choice.lines[choice.chosen].candidate;
    ck_assert_int_eq(chosen->columns, COLUMNS_NONE);
}
END_TEST

/* What is hopeless on few rows is left there; greedy never is. */
START_TEST(two_rounds)
{
    enum {
        N = 4000
    };
    const struct row_kind *gaussian = row_kind_at(0);
    struct rng rng = {.state = 11};
    float *many = calloc(N, DIM * sizeof(*many));
    uint64_t *rows = calloc(N, sizeof(*rows));
    for (size_t i = 0; i < N; i++) {
        rows[i] = i;
        row_kind_fill(gaussian, &rng, many + i * DIM, DIM);
    }
    sample.values = many;
    sample.rows = rows;
    sample.n = N;
    sample.n_source = N;
    extremes[0] = -6e4f;
    extremes[DIM] = 6e4f;
    ck_assert_int_eq(choose(AUTO_MSE, 0, 2), 0);
    struct candidate greedy = candidate_baseline(DIM);
    size_t n_few = 0;
    for (size_t i = 0; i < choice.list.n; i++) {
        const struct compared *line = &choice.lines[i];
        ck_assert(line->n_rows == N || line->n_rows == 500);
        n_few += line->n_rows == 500;
        if (candidate_same(&line->candidate, &greedy)) {
            ck_assert_uint_eq(line->n_rows, N);
        }
    }
    ck_assert_uint_gt(n_few, choice.list.n / 4);
    ck_assert_uint_eq(choice.lines[choice.chosen].n_rows, N);
    ck_assert_uint_eq(choice.record.sample_rows, N);
    ck_assert(choice.record.loss <= choice.record.loss_of_greedy);
    free(rows);
    free(many);
}
END_TEST

START_TEST(samples_are_bounded)
{
    ck_assert_uint_eq(auto_sample_rows(1), 8192);
    ck_assert_uint_eq(auto_sample_rows(1024), 1024);
    ck_assert_uint_eq(auto_sample_rows(NB_DIM_MAX), 128);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("auto_choice");
    TCase *tests = tcase_create("choice");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, never_worse_than_greedy);
    tcase_add_test(tests, the_record_says_what_was_done);
    tcase_add_test(tests, budgets);
    tcase_add_test(tests, fewer_bytes_of_equal_losses);
    tcase_add_test(tests, objectives_differ);
    tcase_add_test(tests, weights_decide);
    tcase_add_test(tests, scales_that_hold_all_of_the_source);
    tcase_add_test(tests, the_same_choice_on_any_number_of_threads);
    tcase_add_test(tests, columns_where_they_help);
    tcase_add_test(tests, two_rounds);
    tcase_add_test(tests, samples_are_bounded);
    suite_add_tcase(suite, tests);
    return suite;
}
