/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quant/bytes.h"
#include "storage/source/npy_header.h"
#include "storage/source/source.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

static struct nb_errctx err;
static const struct source_options AUTO;
static const struct source_options NPY = {.format = "npy"};

/* Writes a .npy file of the given version, header text and data. */
static const char *write_npy(unsigned version, const char *text,
                             const void *data, size_t data_bytes)
{
    size_t n = strlen(text);
    /* NOLINTBEGIN(bugprone-not-null-terminated-result): bytes, no string */
    size_t prefix = version == 1 ? NPY_PREFIX_V1 : NPY_PREFIX_MAX;
    uint8_t *bytes = calloc(1, prefix + n + data_bytes);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, NPY_MAGIC, NPY_MAGIC_BYTES);
    bytes[NPY_MAGIC_BYTES] = (uint8_t)version;
    if (version == 1) {
        put_u16(bytes + NPY_LENGTH, (uint16_t)n);
    } else {
        put_u32(bytes + NPY_LENGTH, (uint32_t)n);
    }
    memcpy(bytes + prefix, text, n);
    memcpy(bytes + prefix + n, data, data_bytes);
    /* NOLINTEND(bugprone-not-null-terminated-result) */
    const char *path = scratch_write("t.npy", bytes, prefix + n + data_bytes);
    free(bytes);
    return path;
}

#define HEADER(descr, order, shape)                                            \
    "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape       \
    ", }      \n"

static const float SIX[6] = {1, -2, 0.5f, 4, 1e-3f, NAN};

static void assert_six(const char *path)
{
    struct source *source;
    float values[8];
    size_t n_rows;
    int rv = source_open(path, &AUTO, &source, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert_str_eq(source_format(source), "npy");
    ck_assert_uint_eq(source_dim(source), 2);
    ck_assert_uint_eq(source_rows(source), 3);
    ck_assert_uint_eq(source_line(source, 1), 0);
    for (int pass = 0; pass < 2; pass++) {
        ck_assert_int_eq(source_read(source, values, 2, &n_rows, &err), 0);
        ck_assert_uint_eq(n_rows, 2);
        ck_assert_int_eq(source_read(source, values + 4, 2, &n_rows, &err), 0);
        ck_assert_uint_eq(n_rows, 1);
        for (size_t i = 0; i < 5; i++) {
            ck_assert(fabsf(values[i] - SIX[i]) < 1e-6f);
        }
        ck_assert(isnan(values[5]));
        ck_assert_int_eq(source_read(source, values, 2, &n_rows, &err), 0);
        ck_assert_uint_eq(n_rows, 0);
        ck_assert_uint_eq(source_bytes_read(source), source_bytes(source));
        ck_assert_int_eq(source_rewind(source, &err), 0);
    }
    source_close(source);
}

START_TEST(types)
{
    uint8_t half[12];
    double wide[6];
    static const uint16_t halves[6] = {0x3c00, 0xc000, 0x3800,
                                       0x4400, 0x1419, 0x7e00};
    for (size_t i = 0; i < 6; i++) {
        put_u16(half + 2 * i, halves[i]);
        wide[i] = (double)SIX[i];
    }
    assert_six(write_npy(1, HEADER("<f4", "False", "(3, 2)"), SIX, 24));
    assert_six(write_npy(1, HEADER("<f2", "False", "(3, 2)"), half, 12));
    assert_six(write_npy(1, HEADER("<f8", "False", "(3, 2)"), wide, 48));
}
END_TEST

START_TEST(header_forms)
{
    for (unsigned version = 1; version <= 3; version++) {
        assert_six(
            write_npy(version, HEADER("<f4", "False", "(3, 2)"), SIX, 24));
    }
    static const char *const texts[] = {
        "{'shape': (3, 2), 'fortran_order': False, 'descr': '<f4'}",
        "{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(3,2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 2L), }\n",
        "  { 'descr' : '<f4' , 'fortran_order' : False , 'shape' : ( 3 , 2 ) "
        ", } \n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_six(write_npy(1, texts[i], SIX, 24));
    }
}
END_TEST

static int open_only(const char *path)
{
    struct source *source = NULL;
    err.text[0] = '\0';
    int rv = source_open(path, &NPY, &source, &err);
    source_close(source);
    return rv;
}

static void assert_refused(const char *text, size_t data_bytes, int rv,
                           const char *words)
{
    static const uint8_t zeros[256];
    int got = open_only(write_npy(1, text, zeros, data_bytes));
    ck_assert_msg(got == rv, "%s: %d: %s", text, got, err.text);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
}

START_TEST(refused_by_name)
{
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {HEADER(">f4", "False", "(3, 2)"), "big-endian"},
        {HEADER("<i4", "False", "(3, 2)"), "integers"},
        {HEADER("|u1", "False", "(3, 2)"), "integers"},
        {HEADER("|b1", "False", "(3, 2)"), "booleans"},
        {HEADER("<c8", "False", "(3, 2)"), "complex"},
        {HEADER("<U4", "False", "(3, 2)"), "strings"},
        {HEADER("|O", "False", "(3, 2)"), "Python objects"},
        {HEADER("<M8[ns]", "False", "(3, 2)"), "dates"},
        {HEADER("<f16", "False", "(3, 2)"), "floats of a size"},
        {HEADER("<f", "False", "(3, 2)"), "floats of a size"},
        {HEADER("|V2", "False", "(3, 2)"), "type not read"},
        {HEADER("=f4", "False", "(3, 2)"), "unstated byte order"},
        {HEADER("<f4", "True", "(3, 2)"), "Fortran order"},
        {HEADER("<f4", "False", "()"), "0 axes"},
        {HEADER("<f4", "False", "(6,)"), "1 axes"},
        {HEADER("<f4", "False", "(3, 2, 1)"), "3 axes"},
        {HEADER("<f4", "False", "(3, 0)"), "0 columns"},
        {HEADER("<f4", "False", "(3, 65537)"), "65537 columns"},
        {"{'descr': [('a', '<f4'), (']', '<f4', (2,))], 'fortran_order': "
         "False, 'shape': (3,)}",
         "structured"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_refused(cases[i].text, 24, NB_ERR_UNSUPPORTED, cases[i].words);
    }
    ck_assert_int_eq(
        open_only(write_npy(4, HEADER("<f4", "False", "(3, 2)"), SIX, 24)),
        NB_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "version 4"));
}
END_TEST

START_TEST(malformed)
{
    /* NOLINTBEGIN(bugprone-suspicious-missing-comma): long ones are in two */
    static const char *const texts[] = {
        "",
        "{}",
        "{",
        "[]",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2)",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2)} x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), 'x': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': "
        "(3, 2)}",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (3, 2)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (3, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 3}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, "
        "18446744073709551616)}",
        "{'descr': '<f4, 'fortran_order': False, 'shape': (3, 2)}",
        "{'descr': \"<\\x664\", 'fortran_order': False, 'shape': (3, 2)}",
        "{'descr': ['<f4', 'fortran_order': False, 'shape': (3, 2)}",
        "{'descr': ['<f4, False",
        "{'descr': 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'}",
        "{descr: '<f4'}",
        "{'descr'",
        "{'descr': ",
    };
    /* NOLINTEND(bugprone-suspicious-missing-comma) */
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_refused(texts[i], 24, NB_ERR_SOURCE, ".npy header, character");
    }
}
END_TEST

START_TEST(headers_that_lie)
{
    assert_refused(HEADER("<f4", "False", "(3, 2)"), 23, NB_ERR_SOURCE,
                   "file has 23 bytes of data");
    assert_refused(HEADER("<f4", "False", "(3, 2)"), 25, NB_ERR_SOURCE,
                   "file has 25 bytes of data");
    assert_refused(HEADER("<f8", "False", "(3, 2)"), 24, NB_ERR_SOURCE,
                   "3 x 2 values of 8 bytes");
    /* Products that wrap to 24, and past 2^64 with the header. */
    assert_refused(HEADER("<f4", "False", "(2305843009213693955, 2)"), 24,
                   NB_ERR_SOURCE, "2305843009213693955 x 2");
    assert_refused(HEADER("<f2", "False", "(18446744073709551615, 1)"), 24,
                   NB_ERR_SOURCE, "18446744073709551615 x 1");
}
END_TEST

START_TEST(cut_headers)
{
    const char *path =
        write_npy(2, HEADER("<f4", "False", "(3, 2)"), SIX, sizeof(SIX));
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    for (size_t cut = 0; cut < n; cut++) {
        ck_assert_int_eq(open_only(scratch_write("c.npy", bytes, cut)),
                         NB_ERR_SOURCE);
    }
    put_u32(bytes + NPY_LENGTH, NPY_HEADER_MAX + 1);
    ck_assert_int_eq(open_only(scratch_write("c.npy", bytes, n)),
                     NB_ERR_SOURCE);
    ck_assert_ptr_nonnull(strstr(err.text, "the limit is"));
    free(bytes);
}
END_TEST

START_TEST(shrinks_while_read)
{
    const char *path =
        write_npy(1, HEADER("<f4", "False", "(3, 2)"), SIX, sizeof(SIX));
    struct source *source;
    float values[6];
    size_t n_rows;
    ck_assert_int_eq(source_open(path, &NPY, &source, &err), 0);
    ck_assert_int_eq(truncate(path, (off_t)source_bytes(source) - 1), 0);
    ck_assert_int_eq(source_read(source, values, 3, &n_rows, &err),
                     NB_ERR_SOURCE);
    ck_assert_ptr_nonnull(strstr(err.text, "1 more were to come"));
    source_close(source);
}
END_TEST

START_TEST(no_rows_is_well_formed)
{
    struct source *source;
    float value;
    size_t n_rows = 1;
    ck_assert_int_eq(
        source_open(write_npy(1, HEADER("<f4", "False", "(0, 2)"), "", 0), &NPY,
                    &source, &err),
        0);
    ck_assert_int_eq(source_read(source, &value, 1, &n_rows, &err), 0);
    ck_assert_uint_eq(n_rows, 0);
    source_close(source);
}
END_TEST

START_TEST(written_header)
{
    uint8_t bytes[NPY_WRITTEN_BYTES + 24];
    npy_header_write("<f4", 3, 2, bytes);
    memcpy(bytes + NPY_WRITTEN_BYTES, SIX, 24);
    ck_assert_int_eq(bytes[NPY_WRITTEN_BYTES - 1], '\n');
    assert_six(scratch_write("w.npy", bytes, sizeof(bytes)));
    npy_header_write("<f4", UINT64_MAX, UINT64_MAX, bytes); /* fits */
    ck_assert_int_eq(bytes[NPY_WRITTEN_BYTES - 1], '\n');
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("source_npy");
    TCase *tests = tcase_create("npy");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, types);
    tcase_add_test(tests, header_forms);
    tcase_add_test(tests, refused_by_name);
    tcase_add_test(tests, malformed);
    tcase_add_test(tests, headers_that_lie);
    tcase_add_test(tests, cut_headers);
    tcase_add_test(tests, shrinks_while_read);
    tcase_add_test(tests, no_rows_is_well_formed);
    tcase_add_test(tests, written_header);
    suite_add_tcase(suite, tests);
    return suite;
}
