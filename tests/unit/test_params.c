/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What nb_params are refused, by the library and by each of its calls. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "quant/nibble.h"
#include "tests/lib/run_suite.h"

static const float mean[2] = {1, -2};
static const float scale[2] = {0.5f, FLT_MIN};
static const struct nb_format format = {1, 2, NB_SCALES_FP16};

static void assert_refused(struct nb_params params, const char *words)
{
    struct nb_errctx err = {""};
    ck_assert_int_eq(nb_params_check(&format, &params, &err), NB_ERR_INVALID);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
}

START_TEST(good_ones)
{
    const struct nb_params none = {0};
    const struct nb_params means = {.column_mean = mean};
    const struct nb_params both = {.column_mean = mean, .column_scale = scale};
    ck_assert_int_eq(nb_params_check(&format, NULL, NULL), 0);
    ck_assert_int_eq(nb_params_check(&format, &none, NULL), 0);
    ck_assert_int_eq(nb_params_check(&format, &means, NULL), 0);
    ck_assert_int_eq(nb_params_check(&format, &both, NULL), 0);
}
END_TEST

START_TEST(bad_values)
{
    const float bad[] = {NAN, INFINITY, -INFINITY};
    const float small[] = {0, -0.0f, -1};
    for (size_t i = 0; i < 3; i++) {
        const float pair[2] = {1, bad[i]};
        assert_refused((struct nb_params){.column_mean = pair},
                       "column mean 1 is");
        assert_refused(
            (struct nb_params){.column_mean = mean, .column_scale = pair},
            "column scale 1 is");
        const float first[2] = {small[i], 1};
        assert_refused(
            (struct nb_params){.column_mean = mean, .column_scale = first},
            "column scale 0 is");
    }
    assert_refused((struct nb_params){.column_scale = scale},
                   "scales without means");
    assert_refused(
        (struct nb_params){.codebooks = mean, .n_codebooks = 1, .n_levels = 2},
        "codec q4 has none");
}
END_TEST

START_TEST(bad_formats)
{
    struct nb_format other = format;
    other.codec = 999;
    ck_assert_int_eq(nb_params_check(&other, NULL, NULL), NB_ERR_UNSUPPORTED);
    other = format;
    other.dim = 0;
    ck_assert_int_eq(nb_params_check(&other, NULL, NULL), NB_ERR_INVALID);
}
END_TEST

/* Every call that takes parameters refuses those of another codec. */
START_TEST(calls_refuse)
{
    const struct nb_params params = {.column_scale = scale};
    uint8_t row[8] = {0};
    const struct nb_rows rows = {.format = format,
                                 .base = row,
                                 .n_rows = 1,
                                 .stride = 5,
                                 .params = &params};
    const uint64_t id = 0;
    const uint32_t length = 1;
    const struct nb_lookup lookup = {.ids = {.u64 = &id, .n = 1}};
    const struct nb_pool pool = {
        .ids = lookup.ids, .lengths = &length, .n_bags = 1};
    float x[2] = {0};
    uint64_t unseen;
    size_t at;
    ck_assert_int_eq(nb_check_values(&format, &params, x, 1, &at),
                     NB_ERR_INVALID);
    ck_assert_int_eq(nb_encode(&format, &params, 0, x, 1, row, 5),
                     NB_ERR_INVALID);
    ck_assert_int_eq(nb_lookup(&rows, &lookup, x, &unseen), NB_ERR_INVALID);
    ck_assert_int_eq(nb_pool(&rows, &pool, x, &unseen), NB_ERR_INVALID);
    ck_assert_int_eq(nb_decode(&rows, 0, 1, NB_FP32, x), NB_ERR_INVALID);
}
END_TEST

/* It is what is stored that must fit the scales. */
START_TEST(values_are_checked_as_stored)
{
    static float x[3 * 20000];
    static float means[20000];
    static float scales[20000];
    struct nb_format wide = {1, 20000, NB_SCALES_FP16};
    const struct nb_params params = {.column_mean = means,
                                     .column_scale = scales};
    size_t at = 7;
    for (size_t j = 0; j < 20000; j++) {
        means[j] = 1e6f;
        scales[j] = 2;
        x[j] = x[20000 + j] = x[40000 + j] = 1e6f + 100;
    }
    ck_assert_int_eq(nb_check_values(&wide, &params, x, 3, &at), 0);
    ck_assert_uint_eq(at, 7);
    x[41234] = 1e6f + 2 * 65536;
    ck_assert_int_eq(nb_check_values(&wide, &params, x, 3, &at),
                     NB_ERR_OVERFLOW);
    ck_assert_uint_eq(at, 41234);
    x[20001] = NAN;
    ck_assert_int_eq(nb_check_values(&wide, &params, x, 3, &at),
                     NB_ERR_NONFINITE);
    ck_assert_uint_eq(at, 20001);
    scales[3] = FLT_MIN;
    ck_assert_int_eq(nb_check_values(&wide, &params, x, 3, &at),
                     NB_ERR_OVERFLOW);
    ck_assert_uint_eq(at, 3);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("params");
    TCase *tests = tcase_create("checks");
    tcase_add_test(tests, good_ones);
    tcase_add_test(tests, bad_values);
    tcase_add_test(tests, bad_formats);
    tcase_add_test(tests, calls_refuse);
    tcase_add_test(tests, values_are_checked_as_stored);
    suite_add_tcase(suite, tests);
    return suite;
}
