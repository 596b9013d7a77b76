/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What every format has in common: its options, and how it is told. */
#include <check.h>
#include <string.h>

#include "storage/source/source.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

static struct nb_errctx err;

static const char GLOVE[] = "the 1 2 3\nof 4 5 6\n";

static int open_glove(const struct source_options *options)
{
    struct source *source = NULL;
    err.text[0] = '\0';
    int rv = source_open(scratch_write("t.txt", GLOVE, sizeof(GLOVE) - 1),
                         options, &source, &err);
    if (rv == 0) {
        ck_assert_str_eq(source_format(source), "glove");
        ck_assert_uint_eq(source_dim(source), 3);
    }
    source_close(source);
    return rv;
}

static void assert_refused(const struct source_options *options, int rv,
                           const char *words)
{
    int got = open_glove(options);
    ck_assert_msg(got == rv, "%d, not %d: %s", got, rv, err.text);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
    ck_assert_ptr_nonnull(strstr(err.text, "t.txt: "));
}

START_TEST(format)
{
    ck_assert_int_eq(open_glove(&(struct source_options){0}), 0);
    ck_assert_int_eq(open_glove(&(struct source_options){.format = "auto"}), 0);
    ck_assert_int_eq(open_glove(&(struct source_options){.format = "glove"}),
                     0);
    assert_refused(&(struct source_options){.format = "csv"}, NB_ERR_NOT_FOUND,
                   "no source format 'csv'");
}
END_TEST

START_TEST(dim)
{
    ck_assert_int_eq(open_glove(&(struct source_options){.dim = 3}), 0);
    assert_refused(&(struct source_options){.dim = 2}, NB_ERR_INVALID,
                   "rows are of 3 values, not 2");
    assert_refused(&(struct source_options){.dim = NB_DIM_MAX + 1},
                   NB_ERR_INVALID, "dim 65537");
    assert_refused(&(struct source_options){.dim = (UINT64_C(1) << 32) + 3},
                   NB_ERR_INVALID, "dim 4294967299");
}
END_TEST

START_TEST(tensor)
{
    assert_refused(&(struct source_options){.tensor = "x"}, NB_ERR_INVALID,
                   "a glove file holds one matrix");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("source_options");
    TCase *tests = tcase_create("options");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, format);
    tcase_add_test(tests, dim);
    tcase_add_test(tests, tensor);
    suite_add_tcase(suite, tests);
    return suite;
}
