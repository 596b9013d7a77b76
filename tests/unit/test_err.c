/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "quant/nibble.h"
#include "tests/lib/run_suite.h"

START_TEST(test_every_code_has_its_text)
{
#define ERR(number, name, text)                                                \
    ck_assert_int_eq(NB_ERR_##name, number);                                   \
    ck_assert_str_eq(nb_strerror(NB_ERR_##name), text);
    NB_ERR_MAP(ERR)
#undef ERR
    ck_assert_str_eq(nb_strerror(0), "success");
    ck_assert_str_eq(nb_strerror(-ENOENT), "No such file or directory");
}
END_TEST

START_TEST(test_codes_are_unique)
{
    static const int codes[] = {
#define ERR(number, name, text) number,
        NB_ERR_MAP(ERR)
#undef ERR
    };
    for (size_t i = 1; i < sizeof(codes) / sizeof(codes[0]); i++) {
        ck_assert_int_lt(codes[i], codes[i - 1]);
        ck_assert_int_lt(codes[i], -20000);
    }
}
END_TEST

START_TEST(test_unknown_codes_have_a_text)
{
    static const int codes[] = {1, 4096, -19999, -29999, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        ck_assert_str_eq(nb_strerror(codes[i]), "unknown error");
    }
}
END_TEST

START_TEST(test_fail_formats_and_returns_the_code)
{
    struct nb_errctx err;
    ck_assert_int_eq(nb_fail(&err, NB_ERR_FORMAT, "%s: row %d", "a.nbt", 7),
                     NB_ERR_FORMAT);
    ck_assert_str_eq(err.text, "a.nbt: row 7");
    ck_assert_int_eq(nb_fail(NULL, -EIO, "%s", "x"), -EIO);
}
END_TEST

START_TEST(test_fail_cuts_long_texts)
{
    char text[1000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    struct nb_errctx err;
    nb_fail(&err, NB_ERR_FORMAT, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("err");
    TCase *tcase = tcase_create("err");
    tcase_add_test(tcase, test_every_code_has_its_text);
    tcase_add_test(tcase, test_codes_are_unique);
    tcase_add_test(tcase, test_unknown_codes_have_a_text);
    tcase_add_test(tcase, test_fail_formats_and_returns_the_code);
    tcase_add_test(tcase, test_fail_cuts_long_texts);
    suite_add_tcase(suite, tcase);
    return suite;
}
