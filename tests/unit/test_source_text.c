/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/source/line_reader.h"
#include "storage/source/source.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

static struct nb_errctx err;
static const struct source_options AUTO = {.format = "auto"};
static const struct source_options GLOVE = {.format = "glove"};

static struct source *open_text(const char *format, const char *text)
{
    struct source *source = NULL;
    const char *path = scratch_write("t.txt", text, strlen(text));
    const struct source_options options = {.format = format};
    int rv = source_open(path, &options, &source, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return source;
}

static void assert_values(struct source *source, const float *expected,
                          size_t n)
{
    float values[64];
    size_t n_rows;
    uint32_t dim = source_dim(source);
    ck_assert_msg(source_read(source, values, 64 / dim, &n_rows, &err) == 0,
                  "%s", err.text);
    ck_assert_uint_eq(n_rows * dim, n);
    for (size_t i = 0; i < n; i++) {
        ck_assert(values[i] == expected[i]);
    }
    ck_assert_int_eq(source_read(source, values, 1, &n_rows, &err), 0);
    ck_assert_uint_eq(n_rows, 0);
}

/* The rest of the source is the array `expected`, then the end. */
#define assert_rows(source, expected)                                          \
    assert_values(source, expected, sizeof(expected) / sizeof((expected)[0]))

/* Opens and reads to the end: the first error. */
static int read_all(const char *format, const char *text)
{
    struct source *source = NULL;
    float values[64];
    size_t n_rows = 1;
    const char *path = scratch_write("t.txt", text, strlen(text));
    const struct source_options options = {.format = format};
    int rv = source_open(path, &options, &source, &err);
    while (rv == 0 && n_rows > 0) {
        rv = source_read(source, values, 1, &n_rows, &err);
    }
    source_close(source);
    return rv;
}

static void assert_error(const char *format, const char *text, int rv,
                         const char *words)
{
    err.text[0] = '\0';
    int got = read_all(format, text);
    ck_assert_msg(got == rv, "'%s': %d, not %d: %s", text, got, rv, err.text);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
    ck_assert_ptr_nonnull(strstr(err.text, "t.txt: "));
}

START_TEST(glove)
{
    const float expected[] = {0.5f, -1, 2e-3f, 1, 2, 3};
    struct source *source = open_text("auto", "the 0.5 -1 2e-3\nof 1 2 3\n");
    ck_assert_str_eq(source_format(source), "glove");
    ck_assert_uint_eq(source_dim(source), 3);
    ck_assert_uint_eq(source_rows(source), SOURCE_ROWS_UNKNOWN);
    ck_assert_uint_eq(source_line(source, 0), 1);
    assert_rows(source, expected);
    ck_assert_uint_eq(source_bytes_read(source), source_bytes(source));
    ck_assert_int_eq(source_rewind(source, &err), 0);
    ck_assert_uint_eq(source_bytes_read(source), 0);
    assert_rows(source, expected);
    source_close(source);
    source_close(NULL);
}
END_TEST

START_TEST(word2vec)
{
    const float expected[] = {1, 2, 3, 4};
    struct source *source = open_text("auto", "2 2\nthe 1 2\nof 3 4\n");
    ck_assert_str_eq(source_format(source), "word2vec");
    ck_assert_uint_eq(source_dim(source), 2);
    ck_assert_uint_eq(source_rows(source), 2);
    ck_assert_uint_eq(source_line(source, 0), 2);
    assert_rows(source, expected);
    ck_assert_int_eq(source_rewind(source, &err), 0);
    assert_rows(source, expected);
    source_close(source);
}
END_TEST

START_TEST(line_ends_and_blanks)
{
    const float expected[] = {1, 2, 3, 4};
    static const char *const texts[] = {
        "a 1 2\nb 3 4",         "a 1 2\r\nb 3 4\r\n", "a 1 2 \nb 3 4  \n",
        "a\t1\t2\nb\t3  4\n",   "a 1 2\nb 3 4\n\n\n", "a 1 2\nb 3 4\n \n",
        "  a 1 2\n 17 3 4\r\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct source *source = open_text("glove", texts[i]);
        assert_rows(source, expected);
        source_close(source);
    }
    struct source *source = open_text("auto", "2 2 \r\na 1 2 \r\nb 3 4 \r\n");
    ck_assert_str_eq(source_format(source), "word2vec");
    assert_rows(source, expected);
    source_close(source);
}
END_TEST

START_TEST(words_with_spaces)
{
    const float expected[] = {1, 2, 3, 4, 5, 6};
    static const char *const texts[] = {
        "a 1 2\n. . . 3 4\nc 5 6\n",
        ". . . 1 2\nto name@domain.com 3 4\n2 5 6\n",
        "7 1 2\nb c 3 4\n8 5 6\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct source *source = open_text("auto", texts[i]);
        ck_assert_str_eq(source_format(source), "glove");
        assert_rows(source, expected);
        source_close(source);
    }
    struct source *source =
        open_text("word2vec", "3 2\nx 1 2\n. . 3 4\nz y 5 6\n");
    assert_rows(source, expected);
    source_close(source);
}
END_TEST

START_TEST(values_as_they_stand)
{
    struct source *source =
        open_text("glove", "a nan inf -inf 1e99\nb 1 2 3 4\n");
    float values[4];
    size_t n_rows;
    ck_assert_int_eq(source_read(source, values, 1, &n_rows, &err), 0);
    ck_assert(isnan(values[0]));
    ck_assert(values[1] == INFINITY);
    ck_assert(values[2] == -INFINITY);
    ck_assert(values[3] == INFINITY);
    source_close(source);
}
END_TEST

START_TEST(refused)
{
    assert_error("glove", "", NB_ERR_SOURCE, "empty");
    assert_error("glove", "\na 1\n", NB_ERR_SOURCE, "line 1 is blank");
    assert_error("glove", "word\n", NB_ERR_SOURCE, "no values");
    assert_error("glove", "the 1 x\n", NB_ERR_SOURCE, "line 1, field 3: 'x'");
    /* Not a dim of 1 and a word of three fields. */
    assert_error("glove", "the 0.1 x0.2 0.3\nof 0.1 0.2 0.3\n", NB_ERR_SOURCE,
                 "line 1, field 3: 'x0.2' is not a number");
    assert_error("glove", "a 1 2\nb 3\n", NB_ERR_SOURCE,
                 "line 2 has 1 values, line 1 has 2");
    assert_error("glove", "a 1 2\nb 3 4 5\n", NB_ERR_SOURCE,
                 "line 2 has 3 values, line 1 has 2");
    assert_error("glove", "a 1 2\nb 3 4,5\n", NB_ERR_SOURCE,
                 "line 2, field 3: '4,5'");
    assert_error("glove", "a 1 2\nb 3 \x01\xff\n", NB_ERR_SOURCE,
                 "field 3: '?\?'");
    assert_error("glove", "a 1 2\n\nb 3 4\n", NB_ERR_SOURCE,
                 "line 2 is blank, with more after it");
    assert_error("glove", "a 1 2\nb\n", NB_ERR_SOURCE, "has 0 values");
}
END_TEST

START_TEST(headers_that_lie)
{
    assert_error("word2vec", "", NB_ERR_SOURCE, "\"ROWS DIM\"");
    assert_error("word2vec", "a 1 2\n", NB_ERR_SOURCE, "\"ROWS DIM\"");
    assert_error("word2vec", "2 2 2\n", NB_ERR_SOURCE, "\"ROWS DIM\"");
    assert_error("word2vec", "2 -2\n", NB_ERR_SOURCE, "\"ROWS DIM\"");
    assert_error("word2vec", "2 99999999999999999999\n", NB_ERR_SOURCE,
                 "\"ROWS DIM\"");
    assert_error("word2vec", "1 0\na\n", NB_ERR_UNSUPPORTED, "0 values a row");
    assert_error("word2vec", "1 65537\na 1\n", NB_ERR_UNSUPPORTED,
                 "65537 values");
    assert_error("word2vec", "18446744073709551615 2\na 1 2\n", NB_ERR_SOURCE,
                 "too many for a file");
    assert_error("word2vec", "1000 2\na 1 2\n", NB_ERR_SOURCE,
                 "too many for a file");
    assert_error("word2vec", "2 2\na 1.00000000 2\n", NB_ERR_SOURCE,
                 "says 2 rows, the file has 1");
    assert_error("word2vec", "1 2\na 1 2\nb 3 4\n", NB_ERR_SOURCE,
                 "says 1 rows, the file has more than 1");
    assert_error("word2vec", "1 2\na 1 2 3\n", NB_ERR_SOURCE,
                 "line 2 has 3 values, line 1 says 2");
}
END_TEST

START_TEST(not_recognized)
{
    assert_error("auto", "", NB_ERR_SOURCE, "not recognized");
    assert_error("auto", "hello\nworld\n", NB_ERR_SOURCE, "not recognized");
    assert_error("auto", "a,1,2\n", NB_ERR_SOURCE, "not recognized");
    assert_error("csv", "a 1\n", NB_ERR_NOT_FOUND, "no source format 'csv'");
    struct source *source;
    ck_assert_int_eq(source_open(scratch_path("x"), &AUTO, &source, &err),
                     -ENOENT);
    ck_assert_int_eq(source_open(scratch_path("."), &AUTO, &source, &err),
                     -EISDIR);
    ck_assert_str_eq(source_format_at(0), "npy");
    ck_assert_ptr_null(source_format_at(1000));
}
END_TEST

/* Lines that do not fit the first buffer, up to the limit. */
START_TEST(long_lines)
{
    const uint32_t dim = NB_DIM_MAX;
    size_t n = 1;
    char *text = malloc((size_t)dim * 12 + 16);
    ck_assert_ptr_nonnull(text);
    text[0] = 'w';
    for (uint32_t i = 0; i < dim; i++) {
        n += (size_t)sprintf(text + n, " %u.25", i);
    }
    text[n] = '\n';
    const char *path = scratch_write("long.txt", text, n + 1);
    struct source *source;
    ck_assert_int_eq(source_open(path, &AUTO, &source, &err), 0);
    ck_assert_uint_eq(source_dim(source), dim);
    float *values = malloc(dim * sizeof(float));
    size_t n_rows;
    ck_assert_int_eq(source_read(source, values, 1, &n_rows, &err), 0);
    ck_assert_uint_eq(n_rows, 1);
    ck_assert(values[dim - 1] == (float)dim - 0.75f);
    source_close(source);
    free(values);

    text = realloc(text, LINE_BYTES_MAX + 10);
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', LINE_BYTES_MAX + 10);
    path = scratch_write("long.txt", text, LINE_BYTES_MAX + 10);
    ck_assert_int_eq(source_open(path, &GLOVE, &source, &err), NB_ERR_SOURCE);
    ck_assert_ptr_nonnull(strstr(err.text, "line 1 is longer than"));
    free(text);
}
END_TEST

/* Rows across the borders of the reader's buffer. */
START_TEST(many_rows)
{
    const size_t n = 60000;
    char *text = malloc(n * 32);
    ck_assert_ptr_nonnull(text);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        at += (size_t)sprintf(text + at, "word%zu %zu 0.5\n", i, i);
    }
    const char *path = scratch_write("many.txt", text, at);
    free(text);
    struct source *source;
    ck_assert_int_eq(source_open(path, &AUTO, &source, &err), 0);
    float values[2 * 700];
    size_t row = 0;
    size_t n_rows;
    do {
        ck_assert_int_eq(source_read(source, values, 700, &n_rows, &err), 0);
        for (size_t i = 0; i < n_rows; i++, row++) {
            ck_assert(values[2 * i] == (float)row && values[2 * i + 1] == 0.5f);
        }
    } while (n_rows == 700);
    ck_assert_uint_eq(row, n);
    source_close(source);
}
END_TEST

START_TEST(any_locale)
{
    /* Where a comma divides decimals, if such a locale is installed. */
    setlocale(LC_ALL, "de_DE.UTF-8"); /* NOLINT(concurrency-mt-unsafe): one */
    const float expected[] = {0.1234567891234567f};
    struct source *source = open_text("glove", "a 0.1234567891234567\n");
    assert_rows(source, expected);
    source_close(source);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("source_text");
    TCase *tests = tcase_create("text");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, glove);
    tcase_add_test(tests, word2vec);
    tcase_add_test(tests, line_ends_and_blanks);
    tcase_add_test(tests, words_with_spaces);
    tcase_add_test(tests, values_as_they_stand);
    tcase_add_test(tests, refused);
    tcase_add_test(tests, headers_that_lie);
    tcase_add_test(tests, not_recognized);
    tcase_add_test(tests, long_lines);
    tcase_add_test(tests, many_rows);
    tcase_add_test(tests, any_locale);
    suite_add_tcase(suite, tests);
    return suite;
}
