/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/table/row_protection.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define N ((size_t)3000) /* several blocks, several reads */

static struct nb_errctx err;
static double weights[N];

static const char *write_weights(size_t n)
{
    static char text[N * 32];
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%.9g\n",
                               weights[i]);
    }
    return scratch_write("weights.txt", text, at);
}

static void select_rows(const char *path, double fraction,
                        struct row_protection *protection)
{
    int rv = row_protection_select(path, fraction, protection, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    struct nb_errctx why;
    const struct nb_protected rows = {.blocks = protection->blocks,
                                      .n = protection->n};
    ck_assert_msg(nb_protected_check(&rows, protection->n_rows, &why) == 0,
                  "%s", why.text);
}

/* How many rows come before row i: of greater weight, or of the same and
 * earlier. */
static size_t rank_of(size_t i, size_t n)
{
    size_t rank = 0;
    for (size_t j = 0; j < n; j++) {
        rank += weights[j] > weights[i] || (weights[j] == weights[i] && j < i);
    }
    return rank;
}

START_TEST(the_greatest_are_taken)
{
    static const size_t sizes[] = {1, 100, 448, 449, 1024, N};
    static const struct {
        double fraction;
        size_t percent;
    } parts[] = {{1e-9, 0}, {0.01, 1}, {0.29, 29}, {0.37, 37}, {1, 100}};
    size_t n = sizes[_i];
    for (size_t i = 0; i < n; i++) { /* many ties, some tiny, some huge */
        weights[i] = (double)(float)((double)(i * 7919 % 257) *
                                     (i % 3 == 0 ? 1e-20 : 1e15));
    }
    weights[0] = 3;
    const char *path = write_weights(n);
    for (size_t f = 0; f < sizeof(parts) / sizeof(parts[0]); f++) {
        struct row_protection protection;
        select_rows(path, parts[f].fraction, &protection);
        size_t wanted = (parts[f].percent * n + 50) / 100;
        wanted = wanted > 0 ? wanted : 1;
        ck_assert_uint_eq(protection.n_rows, n);
        ck_assert_uint_eq(protection.n, wanted);
        for (size_t i = 0; i < n; i++) {
            ck_assert_int_eq(row_protection_has(&protection, i),
                             rank_of(i, n) < wanted);
        }
        row_protection_fini(&protection);
    }
}
END_TEST

START_TEST(files_that_are_refused)
{
    struct row_protection protection;
    ck_assert_int_lt(row_protection_select("/no/such", 0.5, &protection, &err),
                     0);
    const char *path = scratch_write("empty.txt", "", 0);
    ck_assert_int_eq(row_protection_select(path, 0.5, &protection, &err),
                     NB_ERR_INVALID);
    path = scratch_write("zeros.txt", "0\n0\n", 4);
    ck_assert_int_eq(row_protection_select(path, 0.5, &protection, &err),
                     NB_ERR_INVALID);
    path = scratch_write("negative.txt", "1\n-1\n", 5);
    ck_assert_int_eq(row_protection_select(path, 0.5, &protection, &err),
                     NB_ERR_SOURCE);
    ck_assert_ptr_nonnull(strstr(err.text, "weight 1 is -1"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("row_protection");
    TCase *tests = tcase_create("selection");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_loop_test(tests, the_greatest_are_taken, 0, 6);
    tcase_add_test(tests, files_that_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
