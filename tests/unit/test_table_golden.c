/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The committed file of version 1: read, written again, and as
 * storage/FORMAT.md prints it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/builder/table_builder.h"
#include "storage/table/table_reader.h"
#include "storage/table/table_writer.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define GOLDEN "tests/golden/table_v1.nbt"
#define SOURCE "tests/golden/table_v1.txt"

static struct nb_errctx err;

static struct table *open_golden(void)
{
    struct table *table;
    int rv = table_open(GOLDEN, TABLE_VERIFY_FULL, &table, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return table;
}

static void assert_same_file(const char *path)
{
    size_t n;
    size_t m;
    uint8_t *bytes = scratch_read(path, &n);
    uint8_t *golden = scratch_read(GOLDEN, &m);
    ck_assert_uint_eq(n, m);
    ck_assert_mem_eq(bytes, golden, n);
    free(bytes);
    free(golden);
}

START_TEST(reads_as_ever)
{
    struct table *table = open_golden();
    const struct table_info *info = table_info(table);
    ck_assert_uint_eq(info->n_rows, 3);
    ck_assert_uint_eq(info->format.dim, 5);
    ck_assert_uint_eq(info->format.codec, 1);
    ck_assert_uint_eq(info->format.scales, NB_SCALES_FP16);
    ck_assert_uint_eq(info->stride, 7);
    ck_assert_uint_eq(info->rows_offset, 4096);
    ck_assert_uint_eq(info->file_bytes, 4346);
    ck_assert_str_eq(info->search, "asym");
    ck_assert_str_eq(info->source, "table_v1.txt");
    ck_assert(info->stats.max_abs == 0.06640625);
    float values[15] = {0};
    const float expected[5] = {0, 1, 2, 15, 7};
    ck_assert_int_eq(nb_decode(table_rows(table), 0, 3, NB_FP32, values), 0);
    for (size_t i = 0; i < 5; i++) {
        ck_assert(values[i] == expected[i]);
    }
    ck_assert(values[14] == 0.25f);
    table_close(table);
}
END_TEST

START_TEST(writes_as_ever)
{
    struct table *table = open_golden();
    const struct nb_rows *rows = table_rows(table);
    const char *path = scratch_path("again.nbt");
    struct table_writer *writer;
    ck_assert_int_eq(table_writer_create(path, &rows->format, &writer, &err),
                     0);
    ck_assert_int_eq(table_writer_append(writer, rows->base, 3, &err), 0);
    ck_assert_int_eq(
        table_writer_commit(writer, NULL, table_info(table)->metadata, &err),
        0);
    ck_assert_uint_eq(table_writer_file_bytes(writer), 4346);
    table_writer_destroy(writer);
    table_close(table);
    assert_same_file(path);
}
END_TEST

/* Metadata name the version of the program: the rest is the same. */
START_TEST(builds_as_ever)
{
    const struct build_options options = {
        .input = SOURCE,
        .source = {.format = "auto"},
        .output = scratch_path("built.nbt"),
        .codec = "q4",
        .search = "asym",
        .scales = NB_SCALES_FP16,
    };
    struct build_report report;
    struct table *golden = open_golden();
    struct table *built;
    ck_assert_int_eq(table_build(&options, &report, &err), 0);
    ck_assert_int_eq(
        table_open(options.output, TABLE_VERIFY_FULL, &built, &err), 0);
    const char *expected = table_info(golden)->metadata;
    size_t n = (size_t)(strstr(expected, "\"tool\"") - expected);
    ck_assert_int_eq(strncmp(table_info(built)->metadata, expected, n), 0);
    ck_assert_uint_eq(table_info(built)->rows_checksum,
                      table_info(golden)->rows_checksum);
    table_close(built);
    table_close(golden);
}
END_TEST

/* Sixteen bytes of a line of hexdump -C, or fewer at the end. */
static size_t parse_dump_line(const char *line, uint8_t bytes[16])
{
    size_t n = 0;
    const char *at = line + 8;
    while (n < 16) {
        char *end;
        at += strspn(at, " ");
        if (*at == '|' || *at == '\n' || *at == '\0') {
            break;
        }
        bytes[n++] = (uint8_t)strtoul(at, &end, 16);
        ck_assert_ptr_ne(at, end);
        at = end;
    }
    return n;
}

/* Sets up to n bytes from the dump; returns how many it says. */
static size_t parse_dump(const char *dump, uint8_t *bytes, size_t n)
{
    size_t offset = 0;
    uint8_t line[16] = {0};
    for (const char *at = dump; *at != '`'; at = strchr(at, '\n') + 1) {
        if (*at == '*') {
            continue; /* the next line's offset tells how many */
        }
        size_t to = strtoul(at, NULL, 16);
        for (; offset < to; offset++) {
            ck_assert_uint_lt(offset, n);
            bytes[offset] = line[offset % 16];
        }
        size_t got = parse_dump_line(at, line);
        ck_assert_uint_le(offset + got, n);
        memcpy(bytes + offset, line, got);
        offset += got;
    }
    return offset;
}

START_TEST(documented)
{
    size_t n;
    uint8_t *document = scratch_read("storage/FORMAT.md", &n);
    char *dump = strstr((char *)document, "\n00000000  ");
    ck_assert_ptr_nonnull(dump);
    uint8_t bytes[8192];
    size_t length = parse_dump(dump + 1, bytes, sizeof(bytes));
    assert_same_file(scratch_write("dumped.nbt", bytes, length));
    /* The source it shows is the one committed. */
    uint8_t *source = scratch_read(SOURCE, &n);
    ck_assert_ptr_nonnull(strstr((char *)document, (char *)source));
    free(source);
    free(document);
}
END_TEST

/* The same source with its columns scaled: the first row, bit for bit, and the
 * same sections when it is built again. */
START_TEST(columns_as_ever)
{
    static const uint32_t expected[5] = {0xb7300000, 0x3f7d986e, 0x400064a3,
                                         0x417001d6, 0x40e09edd};
    const struct build_options options = {
        .input = SOURCE,
        .output = scratch_path("built.nbt"),
        .codec = "q4",
        .search = "asym",
        .scales = NB_SCALES_FP16,
        .columns = COLUMNS_SCALE,
    };
    struct build_report report;
    struct table *golden;
    struct table *built;
    int rv = table_open("tests/golden/table_v1_columns.nbt", TABLE_VERIFY_FULL,
                        &golden, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    float values[5];
    ck_assert_int_eq(nb_decode(table_rows(golden), 0, 1, NB_FP32, values), 0);
    ck_assert_mem_eq(values, expected, sizeof(values));
    ck_assert(table_rows(golden)->params->column_mean[3] == 5.25f);
    ck_assert_int_eq(table_build(&options, &report, &err), 0);
    ck_assert_int_eq(
        table_open(options.output, TABLE_VERIFY_FULL, &built, &err), 0);
    ck_assert_uint_eq(table_info(built)->rows_checksum,
                      table_info(golden)->rows_checksum);
    ck_assert_uint_eq(table_info(built)->params_checksum,
                      table_info(golden)->params_checksum);
    table_close(built);
    table_close(golden);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("table_golden");
    TCase *tests = tcase_create("version 1");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, reads_as_ever);
    tcase_add_test(tests, writes_as_ever);
    tcase_add_test(tests, builds_as_ever);
    tcase_add_test(tests, documented);
    tcase_add_test(tests, columns_as_ever);
    suite_add_tcase(suite, tests);
    return suite;
}
