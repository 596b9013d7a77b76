/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/log/log_json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "server/log/log.h"
#include "tests/lib/run_suite.h"

static const struct {
    const char *line;
    const char *json;
} lines[] = {
    {"", "{}"},
    {"ts=2026-01-02T03:04:05.678Z level=info event=exit status=0",
     "{\"ts\":\"2026-01-02T03:04:05.678Z\",\"level\":\"info\","
     "\"event\":\"exit\",\"status\":0}"},
    {"a=007 b=0 c=1.5 d=123456789012345 e=1234567890123456 f=-1",
     "{\"a\":\"007\",\"b\":0,\"c\":1.5,\"d\":123456789012345,"
     "\"e\":\"1234567890123456\",\"f\":\"-1\"}"},
    /* Seconds are numbers of them. */
    {"a=0.001216s b=30.000s c=7s d=0.050",
     "{\"a\":0.001216,\"b\":30.000,\"c\":7,\"d\":0.050}"},
    {"a=0.1.0 b=1.s c=.5 d=00.5s e=s f=1ms g=1.5ss h=\"1.5s\"",
     "{\"a\":\"0.1.0\",\"b\":\"1.s\",\"c\":\".5\",\"d\":\"00.5s\","
     "\"e\":\"s\",\"f\":\"1ms\",\"g\":\"1.5ss\",\"h\":\"1.5s\"}"},
    {"a=123456789.1234567s b=12345678.1234567s",
     "{\"a\":\"123456789.1234567s\",\"b\":12345678.1234567}"},
    {"a=\"b c=d\" e=\"12\" f=\"\"",
     "{\"a\":\"b c=d\",\"e\":\"12\",\"f\":\"\"}"},
    /* UTF-8 goes through; what is none, byte by byte. */
    {"a=\"\\xc3\\xa9 \\xe2\\x82\\xac \\xf0\\x9f\\x98\\x80\"",
     "{\"a\":\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"}"},
    {"a=\"\\xc3 \\xa9\\xc3\" b=\"\\xc0\\x80\" c=\"\\xe0\\x9f\\xbf\"",
     "{\"a\":\"\\u00c3 \\u00a9\\u00c3\",\"b\":\"\\u00c0\\u0080\","
     "\"c\":\"\\u00e0\\u009f\\u00bf\"}"},
    {"a=\"\\xc2\\x9b \\xc2\\xa0\"", "{\"a\":\"\\u00c2\\u009b \xc2\xa0\"}"},
    {"a=\"\\xed\\xa0\\x80\" b=\"\\xf4\\x90\\x80\\x80\"",
     "{\"a\":\"\\u00ed\\u00a0\\u0080\","
     "\"b\":\"\\u00f4\\u0090\\u0080\\u0080\"}"},
    {"a=\"\\xf0\\x9f\\x98", "{\"a\":\"\\u00f0\\u009f\\u0098\"}"},
    {"a=\"x\\\"y\\\\z\\x0a\\xff\\xzz\"",
     "{\"a\":\"x\\\"y\\\\z\\u000a\\u00ffxzz\"}"},
    {"  a=1   b=  c", "{\"a\":1,\"b\":\"\",\"c\":\"\"}"},
    {"a=\"cut", "{\"a\":\"cut\"}"},
    {"a=\"cut\\", "{\"a\":\"cut\\\\\"}"},
};

START_TEST(lines_become_objects)
{
    char json[512];
    size_t n = log_to_json(lines[_i].line, json, sizeof(json));
    ck_assert_str_eq(json, lines[_i].json);
    ck_assert_uint_eq(n, strlen(json));
    json_t *parsed = json_loads(json, 0, NULL);
    ck_assert_ptr_nonnull(parsed);
    json_decref(parsed);
}
END_TEST

START_TEST(what_is_quoted_comes_back)
{
    char line[1024];
    char json[2048];
    struct log_text quoted;
    static const char value[] = "a \"b\" \\ c=\n\x7f \t end";
    snprintf(line, sizeof(line), "v=%s", log_quote(value, &quoted));
    log_to_json(line, json, sizeof(json));
    json_t *parsed = json_loads(json, 0, NULL);
    ck_assert_ptr_nonnull(parsed);
    ck_assert_str_eq(json_string_value(json_object_get(parsed, "v")), value);
    json_decref(parsed);
}
END_TEST

/* A name stays a string, whatever it looks like. */
START_TEST(text_that_looks_like_a_number_stays_text)
{
    static const char *const values[] = {"7", "1.5", "3s", "0.1.0", "a"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char line[64];
        char json[128];
        struct log_text quoted;
        snprintf(line, sizeof(line), "v=%s", log_quote(values[i], &quoted));
        log_to_json(line, json, sizeof(json));
        json_t *parsed = json_loads(json, 0, NULL);
        ck_assert_ptr_nonnull(parsed);
        const char *text = json_string_value(json_object_get(parsed, "v"));
        ck_assert_ptr_nonnull(text);
        ck_assert_str_eq(text, values[i]);
        json_decref(parsed);
    }
}
END_TEST

START_TEST(fields_that_do_not_fit_are_left_out)
{
    static const char line[] = "a=1 bbbbbbbbbb=\"cc\\x01\\x02cccc\" d=2";
    char json[128];
    for (size_t bytes = 16; bytes < sizeof(json); bytes++) {
        memset(json, 'x', sizeof(json));
        size_t n = log_to_json(line, json, bytes);
        ck_assert_uint_lt(n, bytes);
        ck_assert_int_eq(json[bytes], 'x');
        json_t *parsed = json_loads(json, 0, NULL);
        ck_assert_ptr_nonnull(parsed);
        ck_assert_int_eq(json_integer_value(json_object_get(parsed, "a")), 1);
        json_decref(parsed);
    }
    log_to_json(line, json, 18);
    ck_assert_str_eq(json, "{\"a\":1,\"d\":2}");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("log_json");
    TCase *tcase = tcase_create("log_json");
    tcase_add_loop_test(tcase, lines_become_objects, 0,
                        sizeof(lines) / sizeof(lines[0]));
    tcase_add_test(tcase, what_is_quoted_comes_back);
    tcase_add_test(tcase, text_that_looks_like_a_number_stays_text);
    tcase_add_test(tcase, fields_that_do_not_fit_are_left_out);
    suite_add_tcase(suite, tcase);
    return suite;
}
