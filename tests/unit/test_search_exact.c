/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <math.h>

#include "quant/search/fit.h"
#include "quant/search/sweep.h"
#include "tests/lib/row_kinds.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/search_rows.h"

#define SEED 20240613

/* Least squares of x on codes 0..15 that ascend with x, all of them. */
struct brute {
    uint32_t dim;
    double x[SWEEP_DIM_MAX]; /* ascending */
    int code[SWEEP_DIM_MAX];
    double least;
};

static void try_codes(struct brute *brute)
{
    double n = brute->dim;
    double k = 0;
    double k2 = 0;
    double x = 0;
    double kx = 0;
    for (uint32_t i = 0; i < brute->dim; i++) {
        k += brute->code[i];
        k2 += brute->code[i] * brute->code[i];
        x += brute->x[i];
        kx += brute->code[i] * brute->x[i];
    }
    double determinant = n * k2 - k * k;
    double scale = determinant > 0 ? (n * kx - k * x) / determinant : 0;
    double bias = (x - scale * k) / n;
    double loss = 0;
    for (uint32_t i = 0; i < brute->dim; i++) {
        loss += pow(brute->x[i] - (scale * brute->code[i] + bias), 2);
    }
    brute->least = fmin(brute->least, loss);
}

/* All ways to set the codes from column `at` on. As deep as the row is long.
 * NOLINTNEXTLINE(misc-no-recursion) */
static void enumerate(struct brute *brute, uint32_t at)
{
    if (at == brute->dim) {
        try_codes(brute);
        return;
    }
    for (int code = at > 0 ? brute->code[at - 1] : 0; code < 16; code++) {
        brute->code[at] = code;
        enumerate(brute, at + 1);
    }
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double brute_optimum(const float *x, uint32_t dim)
{
    struct brute brute = {.dim = dim, .least = HUGE_VAL};
    for (uint32_t i = 0; i < dim; i++) {
        brute.x[i] = (double)x[i];
    }
    qsort(brute.x, dim, sizeof(double), compare_doubles);
    enumerate(&brute, 0);
    return brute.least;
}

/* n times the variance; 0 of constant rows only. */
static double variance(const float *x, uint32_t dim)
{
    double mean = 0;
    double sum = 0;
    float least = x[0];
    float most = x[0];
    for (uint32_t i = 0; i < dim; i++) {
        mean += (double)x[i] / dim;
        least = fminf(least, x[i]);
        most = fmaxf(most, x[i]);
    }
    if (least == most) {
        return 0;
    }
    for (uint32_t i = 0; i < dim; i++) {
        sum += pow((double)x[i] - mean, 2);
    }
    return sum;
}

static double sweep_optimum(const float *x, uint32_t dim, double known)
{
    struct line line = sweep_row(x, dim, known);
    ck_assert(line.scale > 0);
    return search_line_error(x, dim, line.scale, line.bias);
}

static void check_row(const float *x, uint32_t dim)
{
    double spread = variance(x, dim);
    if (spread == 0) {
        return;
    }
    double want = brute_optimum(x, dim);
    double known = fit_loss(x, dim, search_row("ls", x, dim, NB_SCALES_FP32));
    double rounding = 1e-10 * spread;
    ck_assert_double_eq_tol(sweep_optimum(x, dim, known), want, rounding);
    /* Knowing less only makes it look further. */
    ck_assert_double_eq_tol(sweep_optimum(x, dim, spread), want, rounding);
}

START_TEST(test_sweep_finds_what_brute_force_finds)
{
    struct rng rng = {.state = SEED};
    const struct row_kind *kind;
    float x[6];
    for (size_t i = 0; (kind = row_kind_at(i)) != NULL; i++) {
        for (uint32_t dim = 2; dim <= 5; dim++) {
            for (int row = 0; row < 5; row++) {
                row_kind_fill(kind, &rng, x, dim);
                check_row(x, dim);
            }
        }
        row_kind_fill(kind, &rng, x, 6);
        check_row(x, 6);
    }
}
END_TEST

/* Lines that meet by the dozen in one point: small integers. */
START_TEST(test_sweep_of_coinciding_crossings)
{
    struct rng rng = {.state = SEED};
    for (int row = 0; row < 60; row++) {
        float x[5];
        for (size_t i = 0; i < 5; i++) {
            x[i] = (float)rng_below(&rng, 6 + (uint64_t)row);
        }
        check_row(x, 5);
    }
}
END_TEST

/* Rows that 16 levels hold exactly, however far the range is from the levels:
 * the optimum is 0, of whatever start. */
START_TEST(test_sweep_of_rows_on_levels)
{
    struct rng rng = {.state = SEED};
    for (uint32_t dim = 2; dim <= SWEEP_DIM_MAX; dim++) {
        float x[SWEEP_DIM_MAX];
        for (uint32_t i = 0; i < dim; i++) {
            x[i] = 3 * (float)rng_below(&rng, 16) - 20;
        }
        x[0] = -20;
        x[1] = 25;
        double spread = variance(x, dim);
        ck_assert_double_le(sweep_optimum(x, dim, spread), 1e-18 * spread);
        ck_assert(search_row_error("exact", x, dim, NB_SCALES_FP16) == 0);
    }
}
END_TEST

/* No line near the optimum, and none of many starts, is better. */
START_TEST(test_sweep_of_longer_rows)
{
    struct rng rng = {.state = SEED};
    const struct row_kind *kind;
    float x[SWEEP_DIM_MAX];
    for (size_t i = 0; (kind = row_kind_at(i)) != NULL; i++) {
        for (uint32_t dim = 7; dim <= SWEEP_DIM_MAX; dim += 5) {
            row_kind_fill(kind, &rng, x, dim);
            double spread = variance(x, dim);
            if (spread == 0) {
                continue;
            }
            double known =
                fit_loss(x, dim, search_row("ls", x, dim, NB_SCALES_FP32));
            double least = sweep_optimum(x, dim, known);
            /* The alternation computes in fp32. */
            double rounding = 1e-7 * spread + dim * pow((double)x[0] * 1e-6, 2);
            for (int start = 0; start < 200; start++) {
                float lo = x[rng_below(&rng, dim)];
                float hi = x[rng_below(&rng, dim)];
                struct line from = {
                    .scale = fabs((double)hi - (double)lo) /
                             (1 + (double)rng_below(&rng, 15)),
                    .bias = (double)fminf(lo, hi),
                };
                double loss;
                fit_alternate(x, dim, from, &loss);
                ck_assert_msg(loss >= least - rounding,
                              "%s, dim %u: %g, sweep %g", kind->name, dim, loss,
                              least);
            }
        }
    }
}
END_TEST

/* Rounded to fp16, rows of usual sizes stay near the optimum. */
START_TEST(test_exact_rounds_well)
{
    struct rng rng = {.state = SEED};
    double optimum = 0;
    double stored = 0;
    for (int row = 0; row < 200; row++) {
        float x[16];
        row_kind_fill(row_kind_at(0), &rng, x, 16);
        double known = fit_loss(x, 16, search_row("ls", x, 16, NB_SCALES_FP16));
        double size = variance(x, 16);
        optimum += sweep_optimum(x, 16, known) / size;
        stored += search_row_error("exact", x, 16, NB_SCALES_FP16) / size;
    }
    ck_assert_double_ge(stored, optimum);
    ck_assert_double_le(stored, 1.01 * optimum);
}
END_TEST

/* Of all pairs of stored numbers within reach. */
static double brute_pairs(const float *x, uint32_t dim, float lo, float hi)
{
    double least = HUGE_VAL;
    for (uint16_t b = half_from_float(lo); b < half_from_float(hi); b++) {
        for (uint16_t s = half_from_float(0.01f); s < half_from_float(0.12f);
             s++) {
            struct affine pair = {.scale = half_to_float(s),
                                  .bias = half_to_float(b)};
            least = fmin(least, fit_loss(x, dim, pair));
        }
    }
    return least;
}

/* Rows far from 0: biases of fp16 lie 1/16 of a level apart, then more than a
 * level. What is found is near the best pair there is, if not it. */
START_TEST(test_stored_neighbours_of_rows_far_from_zero)
{
    static const struct {
        float mean;
        double within;
    } cases[] = {{3, 1.01}, {40, 1.15}};
    for (size_t i = 0; i < 2; i++) {
        struct rng rng = {.state = SEED};
        double got = 0;
        double least = 0;
        for (int row = 0; row < 12; row++) {
            float x[12];
            for (size_t j = 0; j < 12; j++) {
                x[j] = cases[i].mean + (float)rng_normal(&rng) / 8;
            }
            double error = search_row_error("exact", x, 12, NB_SCALES_FP16);
            double best =
                brute_pairs(x, 12, cases[i].mean - 0.8f, cases[i].mean + 0.3f);
            ck_assert_double_ge(error, best);
            got += error;
            least += best;
        }
        ck_assert_double_le(got, cases[i].within * least);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("search_exact");
    TCase *tcase = tcase_create("search_exact");
    tcase_add_test(tcase, test_sweep_finds_what_brute_force_finds);
    tcase_add_test(tcase, test_sweep_of_coinciding_crossings);
    tcase_add_test(tcase, test_sweep_of_rows_on_levels);
    tcase_add_test(tcase, test_sweep_of_longer_rows);
    tcase_add_test(tcase, test_exact_rounds_well);
    tcase_add_test(tcase, test_stored_neighbours_of_rows_far_from_zero);
    suite_add_tcase(suite, tcase);
    return suite;
}
