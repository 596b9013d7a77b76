/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <math.h>

#include "quant/search/search.h"
#include "tests/lib/run_suite.h"

static struct affine choose(const char *name, const float *x, uint32_t dim,
                            uint32_t scales)
{
    uint32_t id = 0;
    ck_assert_int_eq(nb_search_by_name(name, &id), 0);
    struct nb_format format = {.codec = 1, .dim = dim, .scales = scales};
    struct affine chosen;
    search_by_id(id)->choose(&format, x, 1, &chosen);
    return chosen;
}

START_TEST(test_searches_are_found_by_name_and_id)
{
    size_t n = 0;
#define SEARCH(word, name)                                                     \
    {                                                                          \
        uint32_t id = 77;                                                      \
        ck_assert_int_eq(nb_search_by_name(name, &id), 0);                     \
        ck_assert_str_eq(nb_search_name(id), name);                            \
        ck_assert_str_eq(nb_search_at(n), name);                               \
        ck_assert_ptr_nonnull(search_by_id(id));                               \
        n++;                                                                   \
    }
#include "quant/search/searches.def"
#undef SEARCH
    ck_assert_ptr_null(nb_search_at(n));
    ck_assert_ptr_null(nb_search_name((uint32_t)n));
    ck_assert_ptr_null(nb_search_name(UINT32_MAX));
    ck_assert_ptr_null(search_by_id(UINT32_MAX));
}
END_TEST

START_TEST(test_unknown_search)
{
    uint32_t id = 77;
    ck_assert_int_eq(nb_search_by_name("Greedy", &id), NB_ERR_NOT_FOUND);
    ck_assert_uint_eq(id, 77);
}
END_TEST

START_TEST(test_asym_takes_the_range)
{
    static const float x[] = {3, -2, 0, 28, 5};
    struct affine chosen = choose("asym", x, 5, NB_SCALES_FP16);
    ck_assert(chosen.scale == 2.0f && chosen.bias == -2.0f);
}
END_TEST

/* Without rounding to fp16 a range of any size keeps all its bits. */
START_TEST(test_fp32_scales_are_not_rounded)
{
    static const float x[] = {0x1.000002p-40f, 0x1.000002p100f};
    struct affine chosen = choose("asym", x, 2, NB_SCALES_FP32);
    ck_assert(chosen.bias == x[0]);
    ck_assert(chosen.scale == x[1] / 15);
}
END_TEST

/* A scale of 0, or one whose inverse is infinite, is stored as 1. */
START_TEST(test_ranges_too_narrow_for_a_scale)
{
    static const float narrow[] = {0, 1e-9f};
    static const float subnormal[] = {0, 0x1p-126f};
    static const float constant[] = {0.5f, 0.5f};
    static const char *const names[] = {"asym", "greedy"};
    for (size_t i = 0; i < 2; i++) {
        ck_assert(choose(names[i], narrow, 2, NB_SCALES_FP16).scale == 1);
        ck_assert(choose(names[i], subnormal, 2, NB_SCALES_FP32).scale == 1);
        ck_assert(choose(names[i], constant, 2, NB_SCALES_FP16).scale == 1);
        ck_assert(choose(names[i], narrow, 2, NB_SCALES_FP32).scale ==
                  1e-9f / 15);
    }
}
END_TEST

/* Of a -0 and a +0 the first gives the bias its sign, as in PyTorch. */
START_TEST(test_the_first_zero_gives_the_sign)
{
    static const float minus[] = {1, -0.0f, 0};
    static const float plus[] = {1, 0, -0.0f};
    static const char *const names[] = {"asym", "greedy"};
    for (size_t i = 0; i < 2; i++) {
        ck_assert(signbit(choose(names[i], minus, 3, NB_SCALES_FP16).bias));
        ck_assert(!signbit(choose(names[i], plus, 3, NB_SCALES_FP16).bias));
    }
}
END_TEST

/* Bins far below the spacing of fp32 around the values: no step moves an end,
 * and the search has to notice. */
START_TEST(test_greedy_ends_on_nearly_constant_rows)
{
    for (int ulps = 1; ulps < 300; ulps++) {
        float x[3] = {1.0f, 1.0f + (float)ulps * 0x1p-23f, 1.0f};
        struct affine chosen = choose("greedy", x, 3, NB_SCALES_FP32);
        ck_assert(chosen.bias >= x[0] && chosen.bias <= x[1]);
        float negative[3] = {-x[0], -x[1], -x[2]};
        choose("greedy", negative, 3, NB_SCALES_FP16);
    }
    static const float tiny[] = {0, 0x1p-149f, 0x3p-149f};
    choose("greedy", tiny, 3, NB_SCALES_FP32);
}
END_TEST

START_TEST(test_greedy_ends_on_values_that_are_not_finite)
{
    static const float odd[] = {0, -1, 1, INFINITY, -INFINITY, NAN, 0x1p127f};
    enum {
        N = sizeof(odd) / sizeof(odd[0])
    };
    for (size_t i = 0; i < (size_t)N * N * N; i++) {
        float x[] = {odd[i % N], odd[i / N % N], odd[i / N / N]};
        choose("greedy", x, 3, NB_SCALES_FP16);
        choose("greedy", x, 3, NB_SCALES_FP32);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("search");
    TCase *tcase = tcase_create("search");
    tcase_add_test(tcase, test_searches_are_found_by_name_and_id);
    tcase_add_test(tcase, test_unknown_search);
    tcase_add_test(tcase, test_asym_takes_the_range);
    tcase_add_test(tcase, test_fp32_scales_are_not_rounded);
    tcase_add_test(tcase, test_ranges_too_narrow_for_a_scale);
    tcase_add_test(tcase, test_the_first_zero_gives_the_sign);
    tcase_add_test(tcase, test_greedy_ends_on_nearly_constant_rows);
    tcase_add_test(tcase, test_greedy_ends_on_values_that_are_not_finite);
    suite_add_tcase(suite, tcase);
    return suite;
}
