/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/stats/durations.h"

#include "tests/lib/run_suite.h"

#define US UINT64_C(1000)

START_TEST(bounds_rise_ten_a_decade)
{
    ck_assert_uint_eq(duration_bounds_ns[0], US);
    ck_assert_uint_eq(duration_bounds_ns[DURATION_BOUNDS - 1], 10000000 * US);
    for (size_t i = 1; i < DURATION_BOUNDS; i++) {
        ck_assert_uint_gt(duration_bounds_ns[i], duration_bounds_ns[i - 1]);
        ck_assert_uint_le(duration_bounds_ns[i],
                          duration_bounds_ns[i - 1] * 4 / 3 + 1);
        if (i >= 10) {
            ck_assert_uint_eq(duration_bounds_ns[i],
                              10 * duration_bounds_ns[i - 10]);
        }
    }
}
END_TEST

START_TEST(each_goes_to_its_bucket)
{
    static struct durations durations;
    struct duration_totals totals = {0};
    for (size_t i = 0; i < DURATION_BOUNDS; i++) {
        durations_add(&durations, duration_bounds_ns[i], 1);
        durations_add(&durations, duration_bounds_ns[i] + 1, 100);
    }
    durations_add(&durations, 0, 5);
    durations_add(&durations, UINT64_MAX / 2, 7);
    durations_sum(&durations, &totals);
    ck_assert_uint_eq(totals.counts[0], 1 + 5);
    for (size_t i = 1; i < DURATION_BOUNDS; i++) {
        ck_assert_uint_eq(totals.counts[i], 1 + 100);
    }
    ck_assert_uint_eq(totals.counts[DURATION_BOUNDS], 100 + 7);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("durations");
    TCase *tcase = tcase_create("durations");
    tcase_add_test(tcase, bounds_rise_ten_a_decade);
    tcase_add_test(tcase, each_goes_to_its_bucket);
    suite_add_tcase(suite, tcase);
    return suite;
}
