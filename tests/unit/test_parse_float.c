/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/half.h"
#include "storage/source/parse_float.h"
#include "tests/lib/run_suite.h"

static locale_t c_locale;

static void setup(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static void teardown(void)
{
    freelocale(c_locale);
}

static void assert_as_strtof(const char *text)
{
    float value = 1.5f;
    char *end;
    float expected = strtof_l(text, &end, c_locale);
    ck_assert_msg(*end == '\0', "%s", text);
    ck_assert_msg(parse_float(text, text + strlen(text), c_locale, &value),
                  "%s refused", text);
    ck_assert_msg(float_bits(value) == float_bits(expected), "%s: %a, not %a",
                  text, (double)value, (double)expected);
    double wide = 1.5;
    double expected_wide = strtod_l(text, &end, c_locale);
    ck_assert_msg(parse_double(text, text + strlen(text), c_locale, &wide),
                  "%s refused", text);
    uint64_t bits;
    uint64_t expected_bits;
    memcpy(&bits, &wide, sizeof(bits));
    memcpy(&expected_bits, &expected_wide, sizeof(expected_bits));
    ck_assert_msg(bits == expected_bits, "%s: %a, not %a", text, wide,
                  expected_wide);
}

START_TEST(numbers)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "+0",
        "0.0",
        "1",
        "-1",
        "+1.5",
        ".5",
        "5.",
        "-.25e1",
        "0.418",
        "-0.00066023",
        "1e0",
        "1E+10",
        "1e-10",
        "9.999999e37",
        "3.4028235e38",
        "3.4028236e38",
        "1e39",
        "-1e400",
        "1e-38",
        "1.17549435e-38",
        "1.1754942e-38",
        "1.4e-45",
        "7e-46",
        "7.1e-46",
        "1e-400",
        "123456789012345",
        "1234567890123456",
        "0.1234567890123456789",
        "00000000000000000000000001.5",
        "0.00000000000000000000000000000015",
        "nan",
        "NaN",
        "-nan",
        "inf",
        "-Inf",
        "infinity",
        "0x1.8p3",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
        "123e-25",
        "0e99999999999",
        "0.000000e-9999",
        /* On, just below and just above the middle of two fp32: 2^24 + 1. */
        "16777217",
        "16777217.0000000001",
        "16777216.9999999999",
        "16777217.00000000000000000000000001",
        "1.6777217e7",
        "0.500000029802322387695312500",
        "0.50000002980232239",
        "0.50000002980232238",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_as_strtof(texts[i]);
    }
}
END_TEST

START_TEST(not_numbers)
{
    static const char *const texts[] = {
        "",    "-",       "+",  ".",   "e5",  "1e",  "1e+",   "1.2.3",
        "1,5", "1x",      "0x", "--1", "+-1", "1-",  "na",    "nanx",
        "in",  "infinit", " 1", "\t1", "1 ",  "\n1", "1e5.5", "\xc2\xa0\x31",
        "1\v",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        float value;
        double wide;
        ck_assert(!parse_double(texts[i], texts[i] + strlen(texts[i]), c_locale,
                                &wide));
        ck_assert_msg(!parse_float(texts[i], texts[i] + strlen(texts[i]),
                                   c_locale, &value),
                      "'%s' accepted", texts[i]);
    }
}
END_TEST

START_TEST(ends_where_told)
{
    float value;
    const char *line = "1.5 2.5e1 0.1\0"
                       "9";
    ck_assert(parse_float(line, line + 3, c_locale, &value));
    ck_assert(value == 1.5f);
    ck_assert(parse_float(line + 4, line + 9, c_locale, &value));
    ck_assert(value == 25.0f);
    ck_assert(!parse_float(line + 10, line + 15, c_locale, &value));
}
END_TEST

START_TEST(random_numbers)
{
    uint64_t state = 12345;
    for (int i = 0; i < 200000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        char text[64];
        uint64_t random = state >> 11;
        if (i % 2 == 0) { /* a decimal of every length and exponent */
            static const uint64_t lengths[] = {10, 10000, 10000000, 10000000000,
                                               1000000000000000};
            snprintf(text, sizeof(text), "%" PRIu64 ".%05de%d",
                     random % lengths[random % 5], (int)(random % 100000),
                     (int)(random % 90) - 50);
        } else { /* next to the middle of two fp32 */
            float low = float_from_bits((uint32_t)(random % 0x7f000000u));
            double middle =
                ((double)low + (double)nextafterf(low, INFINITY)) / 2;
            snprintf(text, sizeof(text), "%.*g", 8 + (int)(random % 10),
                     middle);
        }
        assert_as_strtof(text);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("parse_float");
    TCase *tests = tcase_create("parse");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, numbers);
    tcase_add_test(tests, not_numbers);
    tcase_add_test(tests, ends_where_told);
    tcase_add_test(tests, random_numbers);
    suite_add_tcase(suite, tests);
    return suite;
}
