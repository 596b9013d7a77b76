/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "storage/eval/cosine_bins.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"

static struct cosine_bins bins;

static void setup(void)
{
    bins = (struct cosine_bins){0};
}

static void assert_near(double told, double cosine)
{
    ck_assert_msg(fabs(told - cosine) <= (1 - cosine) / 256 + 1e-12,
                  "%.12f instead of %.12f", told, cosine);
}

START_TEST(without_any)
{
    ck_assert(cosine_bins_quantile(&bins, 0.01) == 0);
}
END_TEST

START_TEST(ends_of_the_scale)
{
    static const double cosines[] = {
        1,  1 - 0x1p-39, 1 - 0x1.fep-39, 1 - 0x1p-20, 0.9,
        .5, 0,           -0.5,           -1 + 1e-9,   -1,
    };
    for (size_t i = 0; i < sizeof(cosines) / sizeof(cosines[0]); i++) {
        setup();
        cosine_bins_add(&bins, cosines[i], 1);
        assert_near(cosine_bins_quantile(&bins, 0.01), cosines[i]);
        assert_near(cosine_bins_quantile(&bins, 1), cosines[i]);
    }
    /* Rounding takes cosines a little beyond 1, and a NaN is no bin's. */
    static const double beyond[] = {1 + 0x1p-52, 1 - 0x1p-41, (double)NAN};
    for (size_t i = 0; i < 3; i++) {
        setup();
        cosine_bins_add(&bins, beyond[i], 1);
        ck_assert(cosine_bins_quantile(&bins, 0.5) == 1);
    }
    setup();
    cosine_bins_add(&bins, -1 - 0x1p-20, 1);
    ck_assert(cosine_bins_quantile(&bins, 0.5) == -1);
}
END_TEST

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

START_TEST(against_sorting)
{
    enum {
        N = 10000
    };
    static double cosines[N];
    struct rng rng = {.state = 7};
    for (size_t i = 0; i < N; i++) {
        cosines[i] = 1 - pow(rng_unit(&rng), 4) * 2;
        cosine_bins_add(&bins, cosines[i], 1);
    }
    qsort(cosines, N, sizeof(cosines[0]), ascending);
    static const double fractions[] = {0.0001, 0.01, 0.25, 0.5, 0.99, 1};
    for (size_t i = 0; i < 6; i++) {
        size_t rank = (size_t)ceil(fractions[i] * N) - 1;
        assert_near(cosine_bins_quantile(&bins, fractions[i]), cosines[rank]);
    }
}
END_TEST

/* A cosine of weight 3 counts as three. */
START_TEST(a_weight_counts_as_so_many)
{
    cosine_bins_add(&bins, 0.5, 3);
    cosine_bins_add(&bins, 0.9, 7);
    assert_near(cosine_bins_quantile(&bins, 0.3), 0.5);
    assert_near(cosine_bins_quantile(&bins, 0.31), 0.9);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cosine_bins");
    TCase *tests = tcase_create("quantiles");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, without_any);
    tcase_add_test(tests, ends_of_the_scale);
    tcase_add_test(tests, against_sorting);
    tcase_add_test(tests, a_weight_counts_as_so_many);
    suite_add_tcase(suite, tests);
    return suite;
}
