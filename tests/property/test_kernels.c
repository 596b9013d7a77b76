/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Every kernel of the list that runs here equals the scalar one. */

#include "tests/lib/kernel_checks.h"

#include "tests/lib/run_suite.h"

static uint64_t seed;

START_TEST(kernel_equals_scalar)
{
    const struct kernel *kernel = kernel_at((size_t)_i);
    struct nb_errctx err = {""};

    if (kernel_checks_supported(kernel)) {
        ck_assert_msg(kernel_checks_run(kernel, seed, &err) == 0, "%s",
                      err.text);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("against scalar");
    int n = 0;

    seed = kernel_checks_seed();
    while (kernel_at((size_t)n) != NULL) {
        n++;
    }
    tcase_set_timeout(tcase, 120); /* a shared machine, sanitizers */
    tcase_add_loop_test(tcase, kernel_equals_scalar, 0, n);
    suite_add_tcase(suite, tcase);
    return suite;
}
