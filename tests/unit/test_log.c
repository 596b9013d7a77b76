/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/log/log.h"

#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/run_suite.h"

START_TEST(values_are_quoted_where_needed)
{
    static const struct {
        const char *value;
        const char *quoted;
    } values[] = {
        {"plain", "plain"},
        {"127.0.0.1:80", "127.0.0.1:80"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"x\" \\", "\"say \\\"x\\\" \\\\\""},
        {"line\nnext", "\"line\\x0anext\""},
        {"\xc3\xa9", "\"\\xc3\\xa9\""},
    };
    struct log_text text;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        ck_assert_str_eq(log_quote(values[i].value, &text), values[i].quoted);
    }
}
END_TEST

START_TEST(long_values_are_cut)
{
    char value[2000];
    struct log_text text;
    memset(value, '\n', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    log_quote(value, &text);
    ck_assert_uint_lt(strlen(text.text), sizeof(text.text));
    ck_assert_int_eq(text.text[strlen(text.text) - 1], '"');
}
END_TEST

/* What log_info() writes, as one read sees it. */
static size_t line_of(const char *fields, char *line, size_t bytes)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    log_info("test", "%s", fields);
    dup2(saved, STDERR_FILENO);
    ssize_t n = read(ends[0], line, bytes - 1);
    ck_assert_int_gt(n, 0);
    line[n] = '\0';
    close(ends[0]);
    close(ends[1]);
    close(saved);
    return (size_t)n;
}

START_TEST(a_line_is_one_event)
{
    char line[2 * LOG_LINE_MAX];
    regex_t form;
    line_of("a=1 b=2", line, sizeof(line));
    ck_assert_int_eq(
        regcomp(&form,
                "^ts=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z "
                "level=info event=test a=1 b=2\n$",
                REG_EXTENDED | REG_NOSUB),
        0);
    ck_assert_int_eq(regexec(&form, line, 0, NULL, 0), 0);
    regfree(&form);

    char fields[2 * LOG_LINE_MAX];
    memset(fields, 'x', sizeof(fields) - 1);
    fields[sizeof(fields) - 1] = '\0';
    size_t n = line_of(fields, line, sizeof(line));
    ck_assert_uint_lt(n, LOG_LINE_MAX);
    ck_assert_int_eq(line[n - 1], '\n');
}
END_TEST

/* Nobody reads: no line waits, and what is read later tells of the others. */
START_TEST(lines_without_room_are_dropped)
{
    int ends[2];
    char line[LOG_LINE_MAX + 1] = "";
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    for (int i = 0; i < 500; i++) {
        log_info("test", "i=%d", i);
    }
    ck_assert_int_gt(read(ends[0], line, LOG_LINE_MAX), 0);
    ck_assert_ptr_null(strstr(line, "dropped="));
    ck_assert_int_eq(line[strlen(line) - 1], '\n');
    int n_written = 0;
    for (const char *at = line; *at != '\0'; at++) {
        n_written += *at == '\n';
    }
    log_info("test", "last=1");
    dup2(saved, STDERR_FILENO);
    memset(line, 0, sizeof(line));
    ck_assert_int_gt(read(ends[0], line, LOG_LINE_MAX), 0);
    char expected[64];
    snprintf(expected, sizeof(expected), " last=1 dropped=%d\n",
             500 - n_written);
    ck_assert_ptr_nonnull(strstr(line, expected));
    close(ends[0]);
    close(ends[1]);
    close(saved);
}
END_TEST

START_TEST(floods_are_held_back)
{
    struct log_limit limit = {0};
    uint32_t suppressed = 99;
    uint64_t now_ns = 5000000000;
    unsigned n = 0;
    for (int i = 0; i < 1000; i++) {
        n += (unsigned)log_allowed(&limit, now_ns, &suppressed);
    }
    ck_assert_uint_eq(n, 10);
    ck_assert_uint_eq(suppressed, 0);
    ck_assert_int_eq(log_allowed(&limit, now_ns + 1000000000, &suppressed), 1);
    ck_assert_uint_eq(suppressed, 990);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");
    tcase_add_test(tcase, values_are_quoted_where_needed);
    tcase_add_test(tcase, long_values_are_cut);
    tcase_add_test(tcase, a_line_is_one_event);
    tcase_add_test(tcase, lines_without_room_are_dropped);
    tcase_add_test(tcase, floods_are_held_back);
    suite_add_tcase(suite, tcase);
    return suite;
}
