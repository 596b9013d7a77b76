/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <math.h>
#include <string.h>

#include "quant/search/fit.h"
#include "tests/lib/row_kinds.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/search_rows.h"

#define SEED 20240611

/* ---- each search by hand --------------------------------------------- */

static void check_symmetric(const char *name, const float *x, uint32_t dim,
                            double alpha)
{
    struct affine got = search_row(name, x, dim, NB_SCALES_FP32);
    ck_assert_double_eq_tol((double)got.bias, -alpha, alpha * 1e-6);
    ck_assert_double_eq_tol((double)got.scale, 2 * alpha / 15, alpha * 1e-6);
}

START_TEST(test_sym_takes_the_greatest_magnitude)
{
    static const float x[] = {1, -3, 2, 0.5f};
    static const float above[] = {1, -3, 3.5f};
    check_symmetric("sym", x, 4, 3);
    check_symmetric("sym", above, 3, 3.5);
    static const float zeros[] = {0, -0.0f};
    struct affine got = search_row("sym", zeros, 2, NB_SCALES_FP16);
    ck_assert(got.scale == 1 && got.bias == 0);
}
END_TEST

/* Below 1 both values are clipped, the more the smaller alpha is. */
START_TEST(test_gss_finds_the_only_minimum)
{
    static const float x[] = {1, -1};
    struct affine got = search_row("gss", x, 2, NB_SCALES_FP32);
    ck_assert_double_eq_tol((double)got.bias, -1, 1e-3);
    ck_assert(got.bias >= -1);
}
END_TEST

/* 2,000 small values and an outlier of some weight: the error is that of the
 * outlier, (100 - alpha)^2, against 2,000 * (2 alpha / 15)^2 / 12 of the
 * others; the sum is least at 100 / (1 + 2000 * 4 / 225 / 12). */
START_TEST(test_gss_weighs_an_outlier)
{
    enum {
        DIM = 2001
    };
    static float x[DIM];
    struct rng rng = {.state = SEED};
    for (size_t i = 0; i < DIM; i++) {
        x[i] = (float)(20 * (rng_unit(&rng) - 0.5));
    }
    x[77] = 100;
    struct affine got = search_row("gss", x, DIM, NB_SCALES_FP32);
    double alpha = 100 / (1 + 2000 * 4.0 / 225 / 12);
    ck_assert_double_eq_tol((double)-got.bias, alpha, 0.1 * alpha);
}
END_TEST

/* Half the values on either side of the mean, 1, so that the deviation from it
 * is 1 for all: clipped nowhere. With outliers: in the Gaussian's favour, for
 * it cuts more, and in the Laplace's. */
START_TEST(test_aciq_takes_the_better_of_two_clips)
{
    enum {
        DIM = 500
    };
    static float x[DIM];
    for (size_t outlier = 2; outlier < 24; outlier++) {
        double deviation = 0;
        double variance = 0;
        double mean = 0;
        for (size_t i = 0; i < DIM; i++) {
            x[i] = 1 + (i % 2 != 0 ? 1.0f : -1.0f) * (float)(i % 17) / 16;
        }
        x[0] = (float)outlier;
        for (size_t i = 0; i < DIM; i++) {
            mean += (double)x[i] / DIM;
        }
        for (size_t i = 0; i < DIM; i++) {
            deviation += fabs((double)x[i] - mean) / DIM;
            variance += pow((double)x[i] - mean, 2) / DIM;
        }
        double alphas[] = {5.03 * deviation, 2.55 * sqrt(variance)};
        double loss[2];
        double scale[2];
        for (size_t i = 0; i < 2; i++) {
            double lo = fmax(mean - alphas[i], 0);
            double hi = fmin(mean + alphas[i], fmax((double)outlier, 2));
            scale[i] = (hi - lo) / 15;
            loss[i] = search_line_error(x, DIM, scale[i], lo);
        }
        double want = loss[0] < loss[1] ? scale[0] : scale[1];
        struct affine got = search_row("aciq", x, DIM, NB_SCALES_FP32);
        ck_assert_double_eq_tol((double)got.scale, want, 1e-5);
    }
}
END_TEST

START_TEST(test_sawb_weighs_two_moments)
{
    static const float inside[] = {1, 1, -1, 1, 0.25f, -1, 1, 1};
    double alpha = 12.68 * sqrt((7 + 0.0625) / 8) - 12.80 * (7 + 0.25) / 8;
    ck_assert(alpha > 0 && alpha < 1);
    check_symmetric("sawb", inside, 8, alpha);
    static const float beyond[] = {3, -4, 0, 0}; /* 9.3 */
    check_symmetric("sawb", beyond, 4, 4);
    static const float negative[] = {2, -2, 2}; /* -0.24 */
    check_symmetric("sawb", negative, 3, 2);
}
END_TEST

/* ---- all searches ---------------------------------------------------- */

/* What struct affine promises, for rows of every kind and dim. */
static void check_affine(struct affine affine, uint32_t scales)
{
    ck_assert(isfinite(affine.scale) && affine.scale != 0);
    ck_assert(isfinite(1 / affine.scale) && isfinite(affine.bias));
    ck_assert(affine_store(affine.scale, scales) == affine.scale);
    ck_assert(affine_store(affine.bias, scales) == affine.bias);
}

START_TEST(test_every_search_on_every_kind_of_row)
{
    static const uint32_t dims[] = {1, 2, 3, 5, 8, 31, 32, 33, 100};
    struct rng rng = {.state = SEED};
    float x[100];
    const struct row_kind *kind;
    for (size_t i = 0; (kind = row_kind_at(i)) != NULL; i++) {
        for (size_t j = 0; j < sizeof(dims) / sizeof(dims[0]); j++) {
            row_kind_fill(kind, &rng, x, dims[j]);
            const char *name;
            for (uint32_t s = 0; (name = nb_search_name(s)) != NULL; s++) {
                for (uint32_t scales = 0; scales < 2; scales++) {
                    struct affine got = search_row(name, x, dims[j], scales);
                    check_affine(got, scales);
                    double error = search_row_error(name, x, dims[j], scales);
                    ck_assert(isfinite(error));
                    ck_assert(fit_loss(x, dims[j], got) == error);
                }
            }
        }
    }
}
END_TEST

/* Zeros, and what fp16 holds exactly, come back as they are. */
START_TEST(test_constant_rows_are_kept)
{
    static const float values[] = {0, 1, -1, 0.375f, -65504, 65504};
    const char *name;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        float x[40];
        for (size_t j = 0; j < 40; j++) {
            x[j] = values[i];
        }
        for (uint32_t s = 0; (name = nb_search_name(s)) != NULL; s++) {
            double error = search_row_error(name, x, 40, NB_SCALES_FP16);
            double size = fabs((double)values[i]);
            ck_assert_msg(error <= 40 * pow(size * 1e-3, 2), "%s: %g of %g",
                          name, error, size);
        }
    }
}
END_TEST

/* The ends of fp16, of fp32 and of its subnormals. */
START_TEST(test_extreme_rows)
{
    static const struct {
        uint32_t scales;
        float x[4];
    } rows[] = {
        {NB_SCALES_FP16, {-65504, 65504, 65504, 65504}},
        {NB_SCALES_FP16, {-65504, -65504, -65504, -65472}},
        {NB_SCALES_FP16, {65504, 0, 0, 0}},
        {NB_SCALES_FP32, {-0x1.fffffep125f, 0x1.fffffep125f, 1, 0}},
        {NB_SCALES_FP32, {0x1.fffffep125f, 0, 0, 0}},
        {NB_SCALES_FP32, {0, 0x1p-149f, 0x3p-149f, 0x1p-149f}},
        {NB_SCALES_FP32, {0x1p-126f, -0x1p-126f, 0, 0x1p-140f}},
        {NB_SCALES_FP16, {0, 0x1p-149f, 0x3p-149f, 0x1p-24f}},
    };
    const char *name;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (uint32_t s = 0; (name = nb_search_name(s)) != NULL; s++) {
            for (uint32_t dim = 1; dim <= 4; dim++) {
                check_affine(search_row(name, rows[i].x, dim, rows[i].scales),
                             rows[i].scales);
            }
        }
    }
}
END_TEST

/* What nb_check_values() refuses gives unspecified codes, nothing worse. */
START_TEST(test_values_that_are_not_finite)
{
    static const float odd[] = {0, -1, 1, INFINITY, -INFINITY, NAN, 0x1p127f};
    enum {
        N = sizeof(odd) / sizeof(odd[0])
    };
    for (size_t i = 0; i < (size_t)N * N * N; i++) {
        float x[40] = {0};
        x[0] = odd[i % N];
        x[1] = odd[i / N % N];
        x[2] = odd[i / N / N];
        const char *name;
        for (uint32_t s = 0; (name = nb_search_name(s)) != NULL; s++) {
            search_row(name, x, 3, NB_SCALES_FP16);
            search_row(name, x, 3, NB_SCALES_FP32);
            search_row(name, x, 40, NB_SCALES_FP16);
        }
    }
}
END_TEST

START_TEST(test_longest_rows)
{
    static float x[NB_DIM_MAX];
    struct rng rng = {.state = SEED};
    row_kind_fill(row_kind_at(0), &rng, x, NB_DIM_MAX);
    double full = search_row_error("asym", x, NB_DIM_MAX, NB_SCALES_FP16);
    const char *name;
    for (uint32_t s = 0; (name = nb_search_name(s)) != NULL; s++) {
        double error = search_row_error(name, x, NB_DIM_MAX, NB_SCALES_FP16);
        ck_assert_msg(error <= 1.25 * full, "%s: %g, asym %g", name, error,
                      full);
    }
}
END_TEST

START_TEST(test_refined_rows_are_never_worse)
{
    static const uint32_t dims[] = {1, 2, 3, 7, 16, 32, 33, 64, 100};
    struct rng rng = {.state = SEED + 1};
    float x[100];
    const struct row_kind *kind;
    for (size_t i = 0; (kind = row_kind_at(i)) != NULL; i++) {
        for (size_t j = 0; j < sizeof(dims) / sizeof(dims[0]); j++) {
            for (size_t row = 0; row < 6; row++) {
                uint32_t scales = row % 2;
                row_kind_fill(kind, &rng, x, dims[j]);
                double greedy = search_row_error("greedy", x, dims[j], scales);
                double ls = search_row_error("ls", x, dims[j], scales);
                double exact = search_row_error("exact", x, dims[j], scales);
                ck_assert_msg(ls <= greedy, "%s, dim %u", kind->name, dims[j]);
                ck_assert_msg(exact <= ls, "%s, dim %u", kind->name, dims[j]);
            }
        }
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("search_ranges");
    TCase *tcase = tcase_create("search_ranges");
    tcase_add_test(tcase, test_sym_takes_the_greatest_magnitude);
    tcase_add_test(tcase, test_gss_finds_the_only_minimum);
    tcase_add_test(tcase, test_gss_weighs_an_outlier);
    tcase_add_test(tcase, test_aciq_takes_the_better_of_two_clips);
    tcase_add_test(tcase, test_sawb_weighs_two_moments);
    tcase_add_test(tcase, test_every_search_on_every_kind_of_row);
    tcase_add_test(tcase, test_constant_rows_are_kept);
    tcase_add_test(tcase, test_extreme_rows);
    tcase_add_test(tcase, test_values_that_are_not_finite);
    tcase_add_test(tcase, test_longest_rows);
    tcase_add_test(tcase, test_refined_rows_are_never_worse);
    suite_add_tcase(suite, tcase);
    return suite;
}
