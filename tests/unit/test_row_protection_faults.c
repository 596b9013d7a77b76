/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Files of weights that another program writes between two passes. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "storage/table/row_protection.h"
#include "tests/lib/faults.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define N        100
#define N_PASSES 5

static size_t n_opened;
static size_t swapped_at; /* before the open of this number */
static double later;      /* what each weight is then multiplied by */

static const char *write_weights(double factor)
{
    static char text[N * 32];
    size_t at = 0;
    for (size_t i = 0; i < N; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%.17g\n",
                               (double)(i + 1) * factor);
    }
    return scratch_write("weights.txt", text, at);
}

static void swap(void)
{
    if (n_opened++ == swapped_at) {
        write_weights(later);
    }
}

static int select_half(size_t swapped, double factor, struct nb_errctx *err)
{
    struct row_protection protection;
    const char *path = write_weights(1);
    n_opened = 0;
    swapped_at = swapped;
    later = factor;
    faults_hook_open(swap);
    int rv = row_protection_select(path, 0.5, &protection, err);
    faults_hook_open(NULL);
    if (rv == 0) {
        ck_assert_uint_eq(protection.n, N / 2);
        row_protection_fini(&protection);
    }
    return rv;
}

START_TEST(weights_that_change)
{
    static const double factors[] = {1e-3, 1e3};
    struct nb_errctx err;
    ck_assert_int_eq(select_half(N_PASSES, 1, &err), 0);
    ck_assert_uint_eq(n_opened, N_PASSES);
    ck_assert_int_eq(select_half(0, factors[_i], &err), 0);
    for (size_t pass = 1; pass < N_PASSES; pass++) {
        ck_assert_int_eq(select_half(pass, factors[_i], &err), NB_ERR_SOURCE);
        ck_assert_msg(strstr(err.text, "changed while it was read") != NULL,
                      "%s", err.text);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("row_protection_faults");
    TCase *tests = tcase_create("files");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_loop_test(tests, weights_that_change, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
