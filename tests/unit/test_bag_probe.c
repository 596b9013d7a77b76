/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "storage/eval/bag_probe.h"
#include "tests/lib/run_suite.h"

#define DIM 4

static struct nb_errctx err;

/* Rows of 0, 1, 15, i % 16: exact in 4 bits. */
static struct nb_rows encode(float *x, size_t n_rows)
{
    struct nb_rows rows = {.format = {.dim = DIM, .scales = NB_SCALES_FP16},
                           .n_rows = n_rows};
    uint32_t search;
    for (size_t i = 0; i < n_rows; i++) {
        const float row[DIM] = {0, 1, 15, (float)(i % 16)};
        memcpy(x + i * DIM, row, sizeof(row));
    }
    ck_assert_int_eq(nb_codec_by_name("q4", &rows.format.codec), 0);
    ck_assert_int_eq(nb_search_by_name("asym", &search), 0);
    ck_assert_int_eq(nb_row_bytes(&rows.format, &rows.stride), 0);
    uint8_t *bytes = calloc(n_rows, rows.stride);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(
        nb_encode(&rows.format, NULL, search, x, n_rows, bytes, rows.stride),
        0);
    rows.base = bytes;
    return rows;
}

/* Errors of the rows as a table of x, shown so many at a time. */
static struct bag_errors measure(const struct nb_rows *rows, const float *x,
                                 const double *weights, size_t step)
{
    struct bag_probe *probe;
    struct bag_errors errors;
    ck_assert_int_eq(
        bag_probe_create(rows->n_rows, rows->format.dim, weights, &probe, &err),
        0);
    for (size_t i = 0; i < rows->n_rows; i += step) {
        size_t n = rows->n_rows - i < step ? rows->n_rows - i : step;
        bag_probe_show(probe, x + i * rows->format.dim, NULL, n);
    }
    ck_assert_int_eq(bag_probe_measure(probe, rows, &errors), 0);
    bag_probe_destroy(probe);
    return errors;
}

START_TEST(exact_rows_have_no_error)
{
    float x[50 * DIM];
    struct nb_rows rows = encode(x, 50);
    struct bag_errors errors = measure(&rows, x, NULL, 50);
    for (size_t i = 0; i < BAG_SIZES; i++) {
        ck_assert(errors.nl2[i] == 0);
    }
    free((void *)rows.base);
}
END_TEST

/* With one row, every bag is as far off as the row. */
START_TEST(of_one_row)
{
    float x[DIM];
    struct nb_rows rows = encode(x, 1);
    x[1] += 3; /* errors 3 of 0, 4, 15, 0 */
    struct bag_errors errors = measure(&rows, x, NULL, 1);
    for (size_t i = 0; i < BAG_SIZES; i++) {
        ck_assert(fabs(errors.nl2[i] - sqrt(9.0 / 241)) < 1e-12);
    }
    free((void *)rows.base);
}
END_TEST

/* Errors of both signs fall out of large bags, a common one stays. */
START_TEST(errors_that_average_out)
{
    enum {
        N = 1000
    };
    static float x[N * DIM];
    struct nb_rows rows = encode(x, N);
    for (size_t i = 0; i < N; i++) {
        x[i * DIM] += i % 2 == 0 ? 1.0f : -1.0f;
    }
    struct bag_errors signs = measure(&rows, x, NULL, N);
    for (size_t i = 0; i < BAG_SIZES; i++) {
        double expected = signs.nl2[0] / sqrt(BAG_IDS[i]);
        ck_assert_msg(fabs(signs.nl2[i] / expected - 1) < 0.25,
                      "%u ids: %g, expected %g", BAG_IDS[i], signs.nl2[i],
                      expected);
    }
    for (size_t i = 0; i < N; i++) {
        x[i * DIM] = 1;
    }
    struct bag_errors common = measure(&rows, x, NULL, N);
    ck_assert(fabs(common.nl2[0] - sqrt(1 / 303.5)) < 0.005);
    ck_assert(common.nl2[BAG_SIZES - 1] > 0.9 * common.nl2[0]);
    free((void *)rows.base);
}
END_TEST

/* However the rows come in, and all of them are drawn. */
START_TEST(steps_make_no_difference)
{
    float x[13 * DIM];
    struct nb_rows rows = encode(x, 13);
    for (size_t i = 0; i < 13; i++) {
        x[i * DIM] += (float)i;
    }
    struct bag_errors whole = measure(&rows, x, NULL, 13);
    struct bag_errors steps = measure(&rows, x, NULL, 10);
    ck_assert_mem_eq(&whole, &steps, sizeof(whole));
    for (size_t i = 0; i < 13; i++) { /* any row's error shows */
        struct nb_rows same = encode(x, 13);
        x[i * DIM] += 1;
        ck_assert(measure(&same, x, NULL, 13).nl2[0] > 0);
        free((void *)same.base);
    }
    free((void *)rows.base);
}
END_TEST

START_TEST(in_proportion_to_weights)
{
    float x[5 * DIM];
    struct nb_rows rows = encode(x, 5);
    x[(size_t)3 * DIM] += 2; /* row 3: error 2 of 2, 1, 15, 3 */
    for (size_t i = 0; i < 5; i++) {
        double only[5] = {0};
        only[i] = 7;
        double expected = i == 3 ? sqrt(4.0 / 239) : 0;
        struct bag_errors errors = measure(&rows, x, only, 5);
        for (size_t j = 0; j < BAG_SIZES; j++) {
            ck_assert(fabs(errors.nl2[j] - expected) < 1e-12);
        }
    }
    /* Row 3 is a quarter of the draws: of four rows alike but for the last. */
    const double weights[5] = {3, 0, 0, 1, 0};
    double share = 4.0 / (0.75 * 226 + 0.25 * 239) * 0.25;
    struct bag_errors errors = measure(&rows, x, weights, 5);
    ck_assert(fabs(errors.nl2[0] / sqrt(share) - 1) < 0.1);
    free((void *)rows.base);
}
END_TEST

START_TEST(zeros)
{
    float x[DIM];
    struct nb_rows rows = encode(x, 1);
    memset(x, 0, sizeof(x));
    struct bag_errors errors = measure(&rows, x, NULL, 1);
    ck_assert(errors.nl2[0] == 0); /* relative to nothing */
    free((void *)rows.base);
}
END_TEST

START_TEST(bags_fit_memory)
{
    ck_assert_uint_eq(bag_probe_bags(1), 1000);
    ck_assert_uint_eq(bag_probe_bags(128), 1000);
    ck_assert_uint_eq(bag_probe_bags(NB_DIM_MAX), 21);
    struct bag_probe *probe;
    ck_assert_int_eq(bag_probe_create(3, NB_DIM_MAX, NULL, &probe, &err), 0);
    bag_probe_destroy(probe);
    bag_probe_destroy(NULL);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("bag_probe");
    TCase *tests = tcase_create("probe");
    tcase_add_test(tests, exact_rows_have_no_error);
    tcase_add_test(tests, of_one_row);
    tcase_add_test(tests, errors_that_average_out);
    tcase_add_test(tests, steps_make_no_difference);
    tcase_add_test(tests, in_proportion_to_weights);
    tcase_add_test(tests, zeros);
    tcase_add_test(tests, bags_fit_memory);
    suite_add_tcase(suite, tests);
    return suite;
}
