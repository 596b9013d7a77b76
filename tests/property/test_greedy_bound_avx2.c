/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The bound that greedy_template.h proves, held against the exact losses of
 * every range that walks over rows of every kind meet. */
#include "tests/lib/run_suite.h"

#if defined(__AVX2__)

#include <math.h>
#include <stdio.h>

#include "quant/kernel/lanes_avx2.h"

#include "quant/kernel/greedy_template.h"
#include "tests/lib/row_kinds.h"

#define MAX_DIM 1000

/* |sqrt(P) - l| over its bound, for the left move of one lane. */
static double share_of_bound(const struct walk *walk, struct sums sums,
                             unsigned lane)
{
    float estimates[LANES];
    float lo[LANES];
    float hi[LANES];
    float slack[LANES];
    float loss[LANES];
    lanes_put(estimates, sums.left);
    lanes_put(lo, walk->next.min);
    lanes_put(hi, walk->now.max);
    lanes_put(slack, walk->slack);
    struct ends range = {lanes_set(lo[lane]), lanes_set(hi[lane])};
    lanes_put(loss,
              exact_losses(walk->rows[lane], walk->dim, walk->scales, range));
    double root = sqrt((double)estimates[lane]);
    double b = sqrt((double)slack[lane] * 0x1p-16);
    double k = 1.1 * ((double)walk->dim + 4) * 0x1p-24;
    return fabs(root - (double)loss[lane]) / (b + k * root);
}

static double worst_of_walk(struct walk *walk, size_t *n)
{
    double worst = 0;
    unsigned moving;
    while ((moving = mask_bits(walk->moving)) != 0) {
        struct sums sums = estimate(walk);
        for (; moving != 0; moving &= moving - 1) {
            unsigned lane = (unsigned)__builtin_ctz(moving);
            worst = fmax(worst, share_of_bound(walk, sums, lane));
            ++*n;
        }
        take_step(walk);
    }
    return worst;
}

START_TEST(test_losses_lie_within_the_bound)
{
    static struct walk walk;
    static float x[LANES * MAX_DIM];
    const struct row_kind *kind = row_kind_at((size_t)_i);
    struct rng rng = {(uint64_t)_i};
    double worst = 0;
    size_t n = 0;
    if ((cpu_isas() & ISA_AVX2) == 0) {
        return;
    }
    for (uint32_t i = 0; i < 200; i++) {
        uint32_t dim = 1 + (uint32_t)rng_below(&rng, i % 20 ? 256 : MAX_DIM);
        size_t rows = dim <= SHORT_DIM ? LANES : 1;
        struct nb_format format = {.codec = 1, .dim = dim, .scales = i % 2};
        for (size_t row = 0; row < rows; row++) {
            row_kind_fill(kind, &rng, x + row * dim, dim);
        }
        walk_start(&walk, &format, x, rows);
        worst = fmax(worst, worst_of_walk(&walk, &n));
    }
    printf("%-18s %6zu ranges, at most %.3f of the bound\n", kind->name, n,
           worst);
    ck_assert(worst < 1);
}
END_TEST

static void add_tests(TCase *tcase)
{
    int n = 0;
    while (row_kind_at((size_t)n) != NULL) {
        n++;
    }
    tcase_add_loop_test(tcase, test_losses_lie_within_the_bound, 0, n);
}

#else

START_TEST(test_other_processors_have_the_kernel_checks)
{
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_other_processors_have_the_kernel_checks);
}

#endif

static Suite *make_suite(void)
{
    Suite *suite = suite_create("greedy_bound");
    TCase *tcase = tcase_create("greedy_bound");
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    return suite;
}
