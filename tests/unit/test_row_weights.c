/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/source/npy_header.h"
#include "storage/source/row_weights.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define NUMBERS 5000 /* more than a block of any type */

static struct nb_errctx err;

/* Reads n weights in unequal parts, then ends. */
static int read_all(const char *path, size_t n, double *to)
{
    struct row_weights *weights;
    err.text[0] = '\0';
    int rv = row_weights_open(path, &weights, &err);
    if (rv != 0) {
        return rv;
    }
    size_t done = 0;
    for (size_t part = 1; rv == 0 && done < n; part = 3 * part + 1) {
        size_t now = part < n - done ? part : n - done;
        rv = row_weights_read(weights, now, to + done, &err);
        done += now;
    }
    if (rv == 0) {
        rv = row_weights_end(weights, &err);
    }
    row_weights_close(weights);
    return rv;
}

static void assert_refused(const char *path, size_t n, int code,
                           const char *words)
{
    double to[NUMBERS];
    int rv = read_all(path, n, to);
    ck_assert_msg(rv == code, "%d, not %d: %s", rv, code, err.text);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
    ck_assert_ptr_nonnull(strstr(err.text, path));
}

static const char *text(const char *lines)
{
    return scratch_write("w.txt", lines, strlen(lines));
}

/* A .npy of one axis of n items; `bytes` of data. */
static const char *npy(const char *descr, size_t n, const void *data,
                       size_t bytes)
{
    static uint8_t file[128 + 8 * NUMBERS];
    int length =
        snprintf((char *)file + NPY_PREFIX_V1, sizeof(file) - NPY_PREFIX_V1,
                 "{'descr': '%s', 'fortran_order': False, "
                 "'shape': (%zu,), }\n",
                 descr, n);
    memcpy(file, NPY_MAGIC, NPY_MAGIC_BYTES);
    file[NPY_MAGIC_BYTES] = 1;
    file[NPY_MAGIC_BYTES + 1] = 0;
    file[NPY_LENGTH] = (uint8_t)length;
    file[NPY_LENGTH + 1] = 0;
    memcpy(file + NPY_PREFIX_V1 + length, data, bytes);
    return scratch_write("w.npy", file, NPY_PREFIX_V1 + (size_t)length + bytes);
}

START_TEST(lines_of_text)
{
    double to[5] = {0};
    const char *path = text("3\n 0.5 \r\n16777217\n1e6\n1e19");
    ck_assert_msg(read_all(path, 5, to) == 0, "%s", err.text);
    const double expected[5] = {3, 0.5, 16777217, 1e6, 1e19};
    for (size_t i = 0; i < 5; i++) {
        ck_assert(to[i] == expected[i]);
    }
}
END_TEST

#define CHECK_TYPE(descr, type)                                                \
    do {                                                                       \
        static type items[NUMBERS];                                            \
        static double to[NUMBERS];                                             \
        for (size_t i = 0; i < NUMBERS; i++) {                                 \
            items[i] = (type)(i % 128);                                        \
        }                                                                      \
        const char *path = npy(descr, NUMBERS, items, sizeof(items));          \
        ck_assert_msg(read_all(path, NUMBERS, to) == 0, "%s", err.text);       \
        for (size_t i = 0; i < NUMBERS; i++) {                                 \
            ck_assert(to[i] == (double)(i % 128));                             \
        }                                                                      \
    } while (0)

START_TEST(types)
{
    CHECK_TYPE("<f4", float);
    CHECK_TYPE("<f8", double);
    CHECK_TYPE("|u1", uint8_t);
    CHECK_TYPE("<u2", uint16_t);
    CHECK_TYPE("<u4", uint32_t);
    CHECK_TYPE("<u8", uint64_t);
    CHECK_TYPE("|i1", int8_t);
    CHECK_TYPE("<i2", int16_t);
    CHECK_TYPE("<i4", int32_t);
    CHECK_TYPE("<i8", int64_t);
}
END_TEST

/* The upper ends, and the sign, of each type. */
START_TEST(ends_of_types)
{
    double to[1] = {0};
    const uint8_t ones[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const struct {
        const char *descr;
        size_t bytes;
        double value;
    } ends[] = {{"|u1", 1, 255},
                {"<u2", 2, 65535},
                {"<u4", 4, 4294967295},
                {"<u8", 8, 0x1p64}};
    for (size_t i = 0; i < 4; i++) {
        const char *path = npy(ends[i].descr, 1, ones, ends[i].bytes);
        ck_assert_msg(read_all(path, 1, to) == 0, "%s", err.text);
        ck_assert(to[0] == ends[i].value);
    }
    static const char *const signed_types[] = {"|i1", "<i2", "<i4", "<i8"};
    for (size_t i = 0; i < 4; i++) {
        assert_refused(npy(signed_types[i], 1, ones, (size_t)1 << i), 1,
                       NB_ERR_SOURCE, "weight 0 is -1;");
    }
}
END_TEST

START_TEST(numbers_that_are_no_weights)
{
    assert_refused(text("1\n-1\n"), 2, NB_ERR_SOURCE, "weight 1 is -1;");
    assert_refused(text("1\nnan\n"), 2, NB_ERR_SOURCE, "weight 1 is");
    assert_refused(text("1\ninf\n"), 2, NB_ERR_SOURCE, "weight 1 is inf");
    assert_refused(text("1e20\n"), 1, NB_ERR_SOURCE, "0 to 2^64");
    assert_refused(text("1\n\n2\n"), 3, NB_ERR_SOURCE, "line 2, ''");
    assert_refused(text("1\n2 3\n"), 2, NB_ERR_SOURCE, "line 2, '2");
    assert_refused(text("1\ntwo\n"), 2, NB_ERR_SOURCE, "line 2, 'two'");
    const float values[] = {1, NAN};
    assert_refused(npy("<f4", 2, values, 8), 2, NB_ERR_SOURCE, "weight 1 is");
    assert_refused(text("0\n0\n"), 2, NB_ERR_INVALID, "no weight is above 0");
    assert_refused(text(""), 0, NB_ERR_INVALID, "no weight is above 0");
}
END_TEST

START_TEST(as_many_as_rows)
{
    const float values[] = {1, 2, 3};
    assert_refused(text("1\n2\n"), 3, NB_ERR_INVALID, "2 weights, and");
    assert_refused(text("1\n2\n"), 1, NB_ERR_INVALID, "than the source's 1 ");
    assert_refused(npy("<f4", 3, values, 12), 4, NB_ERR_INVALID,
                   "3 weights, and");
    assert_refused(npy("<f4", 3, values, 12), 2, NB_ERR_INVALID,
                   "than the source's 2 ");
}
END_TEST

START_TEST(files_that_are_not_read)
{
    const float values[] = {1, 2, 3};
    assert_refused(npy(">f4", 3, values, 12), 3, NB_ERR_UNSUPPORTED, "'>f4'");
    assert_refused(npy("<c8", 1, values, 8), 1, NB_ERR_UNSUPPORTED, "'<c8'");
    assert_refused(npy("|f4", 3, values, 12), 3, NB_ERR_UNSUPPORTED, "'|f4'");
    assert_refused(npy("<f4", 3, values, 11), 3, NB_ERR_SOURCE, "3 x 1");
    assert_refused(npy("<f4", SIZE_MAX / 2, values, 12), 3, NB_ERR_SOURCE, "");
    assert_refused("tests", 1, -EISDIR, "directory");
    assert_refused("tests/none", 1, -ENOENT, "No such file");
    const uint8_t short_file[] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1};
    assert_refused(scratch_write("w", short_file, sizeof(short_file)), 1,
                   NB_ERR_SOURCE, "");
    uint8_t matrix[128 + 4];
    npy_header_write("<f4", 1, 1, matrix);
    memset(matrix + 128, 0, 4);
    assert_refused(scratch_write("w", matrix, sizeof(matrix)), 1,
                   NB_ERR_UNSUPPORTED, "2 axes");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("row_weights");
    TCase *tests = tcase_create("weights");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, lines_of_text);
    tcase_add_test(tests, types);
    tcase_add_test(tests, ends_of_types);
    tcase_add_test(tests, numbers_that_are_no_weights);
    tcase_add_test(tests, as_many_as_rows);
    tcase_add_test(tests, files_that_are_not_read);
    suite_add_tcase(suite, tests);
    return suite;
}
