/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/source_checks.h"

static const struct source_options AUTO;
static const struct source_options NAMED = {.format = "word2vec-binary"};

static const float SIX[6] = {1, -2, 0.5f, 4, 1e-3f, 7};

/* A file being put together. */
static struct {
    uint8_t bytes[2 * 1024 * 1024];
    size_t n;
} file;

static void begin(const char *header)
{
    file.n = strlen(header);
    memcpy(file.bytes, header, file.n);
}

static void add(const char *word, const float *values, size_t dim,
                const char *after)
{
    file.n += (size_t)sprintf((char *)file.bytes + file.n, "%s ", word);
    memcpy(file.bytes + file.n, values, dim * sizeof(float));
    file.n += dim * sizeof(float);
    file.n += (size_t)sprintf((char *)file.bytes + file.n, "%s", after);
    ck_assert_uint_le(file.n, sizeof(file.bytes) / 2);
}

static const char *end(void)
{
    return scratch_write("t.bin", file.bytes, file.n);
}

/* Three rows of two, each followed by `after`, the last by `last`. */
static const char *write_six(const char *after, const char *last)
{
    begin("3 2\n");
    add("</s>", SIX, 2, after);
    add("of", SIX + 2, 2, after);
    add("\xc3\xa9", SIX + 4, 2, last);
    return end();
}

START_TEST(newlines)
{
    static const char *const after[] = {"\n", ""};
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < 2; j++) {
            const char *path = write_six(after[i], after[j]);
            source_check_rows(path, &AUTO, "word2vec-binary", SIX, 3, 2);
            source_check_rows(path, &NAMED, "word2vec-binary", SIX, 3, 2);
        }
    }
    begin("3 2\r\n");
    add("a", SIX, 2, "\n");
    add("", SIX + 2, 2, ""); /* an empty word */
    add("c", SIX + 4, 2, "\n");
    source_check_rows(end(), &AUTO, "word2vec-binary", SIX, 3, 2);
}
END_TEST

/* Values that hold what separates words, and look like text or rows. */
START_TEST(values_like_text)
{
    float values[4];
    memcpy(values, "    \n\n\n\n a\n  2 1", sizeof(values));
    begin("2 2\n");
    add("a", values, 2, "\n");
    add("b", values + 2, 2, "\n");
    source_check_rows(end(), &NAMED, "word2vec-binary", values, 2, 2);
}
END_TEST

/* Rows on every side of the buffer's ends, and rows longer than it. */
START_TEST(long_files)
{
    static const uint32_t dims[] = {3, 16383, NB_DIM_MAX};
    for (size_t d = 0; d < 3; d++) {
        uint32_t dim = dims[d];
        size_t n_rows = dim == 3 ? 30000 : 700000 / (4 * (size_t)dim);
        float *values = malloc(n_rows * dim * sizeof(float));
        char header[32];
        snprintf(header, sizeof(header), "%zu %u\n", n_rows, dim);
        begin(header);
        for (size_t row = 0; row < n_rows; row++) {
            char word[16];
            snprintf(word, sizeof(word), "w%zu", row);
            for (uint32_t i = 0; i < dim; i++) {
                values[row * dim + i] = (float)(row * 31 + i);
            }
            add(word, values + row * dim, dim, row % 3 == 0 ? "\n" : "");
        }
        source_check_rows(end(), &AUTO, "word2vec-binary", values, n_rows, dim);
        free(values);
    }
}
END_TEST

START_TEST(no_rows)
{
    begin("0 2\n");
    source_check_rows(end(), &NAMED, "word2vec-binary", SIX, 0, 2);
}
END_TEST

START_TEST(text_is_not_binary)
{
    const char *path;
    const float expected[2] = {1, 2};
    begin("1 2\nthe 1 2\n");
    path = end();
    source_check_rows(path, &AUTO, "word2vec", expected, 1, 2);
    begin("1 2\nthe\t1\t2\r\n");
    source_check_rows(end(), &AUTO, "word2vec", expected, 1, 2);
    begin("1 2\n\xc3\xa9 \xc3\xa9 1 2\n"); /* a word with a space */
    source_check_rows(end(), &AUTO, "word2vec", expected, 1, 2);
}
END_TEST

START_TEST(headers)
{
    static const char *const wrong[] = {
        "", "3", "3 2", "\n", "3\n", "a 2\n", "3 2 1\n", "-3 2\n", "3 2.0\n"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        begin(wrong[i]);
        source_check_refused(end(), &NAMED, NB_ERR_SOURCE, "\"ROWS DIM\"");
    }
    begin("                                                             3 2\n");
    source_check_refused(end(), &NAMED, NB_ERR_SOURCE, "\"ROWS DIM\"");
    begin("3 0\n");
    source_check_refused(end(), &NAMED, NB_ERR_UNSUPPORTED, "0 values a row");
    begin("3 65537\n");
    source_check_refused(end(), &NAMED, NB_ERR_UNSUPPORTED, "65537 values");
    begin("3 2\n");
    source_check_refused(end(), &NAMED, NB_ERR_SOURCE,
                         "too many for a file of 4 bytes");
    begin("4611686018427387905 1\n"); /* wraps */
    source_check_refused(end(), &NAMED, NB_ERR_SOURCE, "too many for a file");
}
END_TEST

START_TEST(cut_rows)
{
    const char *path = write_six("\n", "\n");
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    for (size_t cut = 4 + 3 * 9; cut + 1 < n; cut++) {
        path = scratch_write("c.bin", bytes, cut);
        source_check_refused(path, &NAMED, NB_ERR_SOURCE, ": the file ends");
    }
    source_check_rows(scratch_write("c.bin", bytes, n - 1), &NAMED,
                      "word2vec-binary", SIX, 3, 2);
    free(bytes);
    source_check_refused(write_six("\n", "\n\n"), &NAMED, NB_ERR_SOURCE,
                         "has more after them (byte ");
}
END_TEST

START_TEST(long_words)
{
    char word[4098];
    memset(word, 'x', sizeof(word));
    word[4096] = '\0';
    begin("1 1\n");
    add(word, SIX, 1, "\n");
    source_check_rows(end(), &AUTO, "word2vec-binary", SIX, 1, 1);
    word[4096] = 'x';
    word[4097] = '\0';
    begin("1 1\n");
    add(word, SIX, 1, "\n");
    source_check_refused(end(), &NAMED, NB_ERR_SOURCE,
                         "row 0 of 1, byte 4: no space");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("source_word2vec_binary");
    TCase *tests = tcase_create("word2vec_binary");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, newlines);
    tcase_add_test(tests, values_like_text);
    tcase_add_test(tests, long_files);
    tcase_add_test(tests, no_rows);
    tcase_add_test(tests, text_is_not_binary);
    tcase_add_test(tests, headers);
    tcase_add_test(tests, cut_rows);
    tcase_add_test(tests, long_words);
    suite_add_tcase(suite, tests);
    return suite;
}
