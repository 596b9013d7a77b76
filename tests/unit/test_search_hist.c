/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <math.h>
#include <string.h>

#include "quant/search/hist.h"
#include "tests/lib/row_kinds.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/search_rows.h"

#define SEED 20240617

/* A histogram as the searches are defined on it, bin widths of 1. */
struct plain {
    double count[HIST_BINS];
    double min;
    double width; /* of a bin */
    double total;
};

static struct plain plain_histogram(const float *x, uint32_t dim)
{
    struct plain plain = {.total = dim};
    double max = (double)x[0];
    plain.min = (double)x[0];
    for (uint32_t i = 0; i < dim; i++) {
        plain.min = fmin(plain.min, (double)x[i]);
        max = fmax(max, (double)x[i]);
    }
    plain.width = (max - plain.min) / HIST_BINS;
    for (uint32_t i = 0; i < dim; i++) {
        double at = ((double)x[i] - plain.min) / (max - plain.min) * HIST_BINS;
        plain.count[(size_t)fmin(floor(at), HIST_BINS - 1)]++;
    }
    return plain;
}

static double cubes(double begin, double end)
{
    return (end * end * end - begin * begin * begin) / 3;
}

/* Bin by bin: the part in the cell where it begins, whole cells, the part in
 * the cell where it ends. */
static double plain_norm(const struct plain *plain, int start, int n)
{
    double cell = n / 16.0;
    double norm = 0;
    for (int bin = 0; bin < HIST_BINS; bin++) {
        double begin = bin - start;
        double end = begin + 1;
        double first = fmin(fmax(floor(begin / cell), 0), 15);
        double last = fmin(fmax(floor(end / cell), 0), 15);
        double from_first = begin - (first + 0.5) * cell;
        double from_last = end - (last + 0.5) * cell;
        double error = cubes(from_first, from_last);
        if (first != last) {
            error = cubes(from_first, cell / 2) +
                    (last - first - 1) * cubes(-cell / 2, cell / 2) +
                    cubes(-cell / 2, from_last);
        }
        norm += plain->count[bin] * error;
    }
    return norm;
}

static void check_range(const char *name, const float *x, uint32_t dim,
                        int start, int n)
{
    struct plain plain = plain_histogram(x, dim);
    struct affine got = search_row(name, x, dim, NB_SCALES_FP32);
    double scale = plain.width * n / 15;
    double tolerance = plain.width * 1e-3 + fabs(plain.min) * 0x1p-22;
    ck_assert_double_eq_tol((double)got.scale, scale, tolerance);
    ck_assert_double_eq_tol((double)got.bias, plain.min + plain.width * start,
                            tolerance);
}

/* ---- the norm -------------------------------------------------------- */

START_TEST(test_norm_is_the_integral_over_bins)
{
    struct rng rng = {.state = SEED};
    static float x[3000];
    const struct row_kind *kind;
    for (size_t i = 0; (kind = row_kind_at(i)) != NULL; i++) {
        uint32_t dim = 2 + (uint32_t)rng_below(&rng, 2999);
        struct hist hist;
        row_kind_fill(kind, &rng, x, dim);
        if (!hist_count(&hist, x, dim)) {
            continue;
        }
        struct plain plain = plain_histogram(x, dim);
        for (int trial = 0; trial < 400; trial++) {
            int n = 1 + (int)rng_below(&rng, HIST_BINS);
            int start = (int)rng_below(&rng, (uint64_t)(HIST_BINS - n + 1));
            double want = 48 * 256 * plain_norm(&plain, start, n);
            double got = (double)hist_norm(&hist, start, n);
            ck_assert_double_eq_tol(got, want, 1e-9 * want);
            int64_t outside = hist_norm_outside(&hist, start, n);
            ck_assert(outside >= 0);
            ck_assert_int_le(outside, hist_norm(&hist, start, n));
        }
    }
}
END_TEST

/* Values left of the range only: all of the norm lies outside. */
START_TEST(test_norm_outside)
{
    float x[64] = {0};
    x[63] = 1;
    struct hist hist;
    ck_assert(hist_count(&hist, x, 64));
    int64_t inside = hist_norm(&hist, 100, 100);
    int64_t outside = hist_norm_outside(&hist, 100, 100);
    ck_assert(outside > 0 && outside < inside);
    /* The one value on the right spreads over its bin, in one cell: */
    ck_assert_double_eq_tol(
        (double)(inside - outside),
        48 * 256 *
            (cubes(-6.25 / 2, 6.25 / 2) - cubes(-6.25 / 2, 6.25 / 2 - 1)),
        1e-6);
}
END_TEST

START_TEST(test_constant_rows_have_no_histogram)
{
    static const float x[] = {2, 2, 2};
    struct hist hist;
    ck_assert(!hist_count(&hist, x, 3));
    ck_assert(hist.range.min == 2 && hist.range.max == 2);
}
END_TEST

/* ---- hist-brute ------------------------------------------------------ */

START_TEST(test_brute_takes_the_least_of_all)
{
    struct rng rng = {.state = SEED};
    static const uint32_t dims[] = {7, 64, 500};
    static float x[500];
    for (size_t i = 0; i < 6; i++) {
        uint32_t dim = dims[i % 3];
        row_kind_fill(row_kind_at(i), &rng, x, dim);
        struct plain plain = plain_histogram(x, dim);
        if (plain.width == 0) {
            continue;
        }
        double least = HUGE_VAL;
        int best_start = 0;
        int best_n = 0;
        for (int n = 1; n <= HIST_BINS; n++) {
            for (int start = 0; start + n <= HIST_BINS; start++) {
                double norm = plain_norm(&plain, start, n);
                if (norm < least * (1 - 1e-12)) {
                    least = norm;
                    best_start = start;
                    best_n = n;
                }
            }
        }
        check_range("hist-brute", x, dim, best_start, best_n);
    }
}
END_TEST

/* ---- hist-approx ----------------------------------------------------- */

/* Quantiles in units of 1e-5, as doubles that hold them exactly. */
static void approx_range(const struct plain *plain, int *best_start,
                         int *best_n)
{
    double below[HIST_BINS];
    double sum = 0;
    for (int bin = 0; bin < HIST_BINS; bin++) {
        sum += plain->count[bin];
        below[bin] = sum * 1e5;
    }
    double alpha = 0;
    double beta = 1e5;
    double least = HUGE_VAL;
    int start = 0;
    int end = HIST_BINS - 1;
    while (alpha < beta) {
        int left = start;
        int right = end;
        int next_start = start;
        int next_end = end;
        while (left < end && below[left] < (alpha + 1) * plain->total) {
            left++;
        }
        while (right > start && below[right] > (beta - 1) * plain->total) {
            right--;
        }
        if (left - start > end - right) {
            next_start = left;
            alpha++;
        } else {
            next_end = right;
            beta--;
        }
        if (next_start == start && next_end == end) {
            continue;
        }
        double norm = plain_norm(plain, next_start, next_end - next_start + 1);
        if (norm > least) {
            break;
        }
        least = norm;
        start = next_start;
        end = next_end;
    }
    *best_start = start;
    *best_n = end - start + 1;
}

START_TEST(test_approx_walks_the_quantiles)
{
    struct rng rng = {.state = SEED};
    static float x[3000];
    const struct row_kind *kind;
    for (size_t i = 0; (kind = row_kind_at(i)) != NULL; i++) {
        for (int row = 0; row < 8; row++) {
            uint32_t dim = row % 2 != 0 ? 61 : 2857;
            row_kind_fill(kind, &rng, x, dim);
            struct plain plain = plain_histogram(x, dim);
            if (plain.width > 0) {
                int start;
                int n;
                approx_range(&plain, &start, &n);
                check_range("hist-approx", x, dim, start, n);
            }
        }
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("search_hist");
    TCase *tcase = tcase_create("search_hist");
    tcase_add_test(tcase, test_norm_is_the_integral_over_bins);
    tcase_add_test(tcase, test_norm_outside);
    tcase_add_test(tcase, test_constant_rows_have_no_histogram);
    tcase_add_test(tcase, test_brute_takes_the_least_of_all);
    tcase_add_test(tcase, test_approx_walks_the_quantiles);
    suite_add_tcase(suite, tcase);
    return suite;
}
