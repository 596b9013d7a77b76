/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/bench/histogram.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"

#define N 200000u

static const double shares[] = {0.0001, 0.01,  0.5,    0.9, 0.95,
                                0.99,   0.999, 0.9999, 1.0};

static uint64_t values[N];

static int by_value(const void *a, const void *b)
{
    const uint64_t *p = a;
    const uint64_t *q = b;
    return (*p > *q) - (*p < *q);
}

/* Durations as servers have them, from 1 us up, and some of every size. */
static void make_values(int kind)
{
    struct rng rng = {.state = (uint64_t)kind + 1};
    for (size_t i = 0; i < N; i++) {
        double unit = rng_unit(&rng);
        values[i] = kind == 0   ? (uint64_t)(1e3 + 5e5 * -log(1 - unit))
                    : kind == 1 ? (uint64_t)(1e4 * pow(10, 5 * unit * unit))
                    : kind == 2 ? rng_next(&rng) >> rng_below(&rng, 64)
                                : rng_below(&rng, 300);
    }
}

START_TEST(percentiles_are_within_one_percent)
{
    struct histogram *histogram = calloc(1, sizeof(*histogram));
    make_values(_i);
    double sum = 0;
    for (size_t i = 0; i < N; i++) {
        histogram_add(histogram, values[i]);
        sum += (double)values[i];
    }
    qsort(values, N, sizeof(values[0]), by_value);
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        double exact = (double)values[(size_t)ceil(shares[i] * N) - 1];
        double got = (double)histogram_at(histogram, shares[i]);
        ck_assert_msg(got >= exact && got <= exact * 1.01,
                      "share %g: %g, exactly %g", shares[i], got, exact);
    }
    ck_assert(histogram_at(histogram, 0) >= values[0]);
    ck_assert_uint_eq(histogram->least, values[0]);
    ck_assert_uint_eq(histogram->most, values[N - 1]);
    if (_i != 2) { /* whose sum wraps */
        ck_assert_double_eq_tol(histogram_mean(histogram), sum / N,
                                1e-9 * sum / N);
    }
    free(histogram);
}
END_TEST

START_TEST(merging_loses_nothing)
{
    struct histogram *all = calloc(1, sizeof(*all));
    struct histogram *merged = calloc(1, sizeof(*merged));
    struct histogram *parts = calloc(3, sizeof(*parts));
    make_values(_i);
    for (size_t i = 0; i < N; i++) {
        histogram_add(all, values[i]);
        histogram_add(&parts[values[i] % 2], values[i]); /* the third: none */
    }
    histogram_merge(merged, &parts[2]);
    histogram_merge(merged, &parts[1]);
    histogram_merge(merged, &parts[0]);
    ck_assert_int_eq(memcmp(all, merged, sizeof(*all)), 0);
    free(all);
    free(merged);
    free(parts);
}
END_TEST

START_TEST(ends_of_the_range)
{
    struct histogram *histogram = calloc(1, sizeof(*histogram));
    ck_assert_uint_eq(histogram_at(histogram, 0.5), 0);
    ck_assert_double_eq(histogram_mean(histogram), 0);
    for (unsigned shift = 0; shift < 64; shift++) {
        const uint64_t power = UINT64_C(1) << shift;
        *histogram = (struct histogram){0};
        histogram_add(histogram, power - 1);
        histogram_add(histogram, power);
        histogram_add(histogram, UINT64_MAX);
        ck_assert_uint_eq(histogram_at(histogram, 0.3) >> HISTOGRAM_SUB_BITS,
                          (power - 1) >> HISTOGRAM_SUB_BITS);
        double end = (double)histogram_at(histogram, 0.6);
        ck_assert(end >= (double)power && end <= (double)power * 1.01);
        ck_assert_uint_eq(histogram_at(histogram, 1), UINT64_MAX);
    }
    free(histogram);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("histogram");
    TCase *tcase = tcase_create("histogram");
    tcase_add_loop_test(tcase, percentiles_are_within_one_percent, 0, 4);
    tcase_add_loop_test(tcase, merging_loses_nothing, 0, 4);
    tcase_add_test(tcase, ends_of_the_range);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite;
}
