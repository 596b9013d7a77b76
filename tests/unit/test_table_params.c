/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The parameters section: what is written is read, and nothing else is. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "quant/bytes.h"
#include "storage/export/table_export.h"
#include "storage/table/table_format.h"
#include "storage/table/table_params.h"
#include "storage/table/table_reader.h"
#include "storage/table/table_writer.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

#define DIM    5
#define N_ROWS 3

static const float mean[DIM] = {1, -2, 0, 1e6f, -0.0f};
static const float scale[DIM] = {1, 2, 0.5f, 1e-30f, 3};
static struct nb_errctx err;

/* A file of the parameters; its bytes are the caller's to free. */
static uint8_t *write_table(const struct nb_params *params, const char **path,
                            size_t *n)
{
    struct nb_format format = table_file_format(DIM);
    uint8_t *rows = table_file_rows(DIM, N_ROWS);
    struct table_writer *writer;
    *path = scratch_path("t.nbt");
    ck_assert_int_eq(table_writer_create(*path, &format, &writer, &err), 0);
    ck_assert_int_eq(table_writer_append(writer, rows, N_ROWS, &err), 0);
    int rv = table_writer_commit(writer, params, TABLE_FILE_METADATA, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    table_writer_destroy(writer);
    free(rows);
    return scratch_read(*path, n);
}

static uint8_t *write_both(size_t *n)
{
    const struct nb_params params = {.column_mean = mean,
                                     .column_scale = scale};
    const char *path;
    return write_table(&params, &path, n);
}

/* The directory entry of the parameters, which are the second section. */
static uint8_t *entry_of(uint8_t *bytes)
{
    uint8_t *entry = bytes + HEADER_SECTIONS + SECTION_BYTES;
    ck_assert_uint_eq(get_u32(entry + SECTION_KIND), SECTION_PARAMS);
    return entry;
}

static uint8_t *section_of(uint8_t *bytes)
{
    return bytes + get_u64(entry_of(bytes) + SECTION_OFFSET);
}

/* Opens the bytes with their checksums made right. */
static int open_fixed(uint8_t *bytes, size_t n, struct table **table)
{
    uint8_t *entry = entry_of(bytes);
    put_u64(entry + SECTION_CHECKSUM,
            XXH3_64bits(section_of(bytes),
                        (size_t)get_u64(entry + SECTION_LENGTH)));
    table_file_fix_header(bytes, n);
    err.text[0] = '\0';
    return table_open(scratch_write("x.nbt", bytes, n), TABLE_VERIFY_FULL,
                      table, &err);
}

static void assert_refused(uint8_t *bytes, size_t n, int rv, const char *words)
{
    struct table *table;
    ck_assert_int_eq(open_fixed(bytes, n, &table), rv);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
}

START_TEST(come_back)
{
    for (int scaled = 0; scaled < 2; scaled++) {
        const struct nb_params params = {.column_mean = mean,
                                         .column_scale = scaled ? scale : NULL};
        const char *path;
        size_t n;
        free(write_table(&params, &path, &n));
        struct table *table;
        ck_assert_int_eq(table_open(path, TABLE_VERIFY_FULL, &table, &err), 0);
        const struct nb_params *read = table_rows(table)->params;
        const struct table_info *info = table_info(table);
        ck_assert_mem_eq(read->column_mean, mean, sizeof(mean));
        if (scaled) {
            ck_assert_mem_eq(read->column_scale, scale, sizeof(scale));
        } else {
            ck_assert_ptr_null(read->column_scale);
        }
        ck_assert_ptr_null(read->codebooks);
        ck_assert_int_eq(info->columns,
                         scaled ? COLUMNS_SCALE : COLUMNS_CENTER);
        ck_assert_uint_eq(info->params_bytes,
                          16 + (scaled ? 2 : 1) * sizeof(mean));
        ck_assert_uint_ne(info->params_checksum, 0);
        table_close(table);
    }
}
END_TEST

START_TEST(none_takes_no_section)
{
    const struct nb_params none = {0};
    const char *path;
    size_t n;
    size_t m;
    uint8_t *with = write_table(&none, &path, &n);
    uint8_t *without = write_table(NULL, &path, &m);
    ck_assert_uint_eq(n, m);
    ck_assert_mem_eq(with, without, n);
    ck_assert_uint_eq(get_u32(with + HEADER_N_SECTIONS), 2);
    struct table *table;
    ck_assert_int_eq(table_open(path, TABLE_VERIFY_FULL, &table, &err), 0);
    ck_assert_ptr_null(table_rows(table)->params);
    ck_assert_uint_eq(table_info(table)->params_bytes, 0);
    ck_assert_int_eq(table_info(table)->columns, COLUMNS_NONE);
    table_close(table);
    free(with);
    free(without);
}
END_TEST

START_TEST(bad_params_are_not_written)
{
    const float bad[DIM] = {1, 1, 0, 1, 1};
    const struct nb_params params = {.column_mean = mean, .column_scale = bad};
    struct nb_format format = table_file_format(DIM);
    uint8_t *rows = table_file_rows(DIM, N_ROWS);
    struct table_writer *writer;
    ck_assert_int_eq(
        table_writer_create(scratch_path("t"), &format, &writer, &err), 0);
    ck_assert_int_eq(table_writer_append(writer, rows, N_ROWS, &err), 0);
    ck_assert_int_eq(table_writer_commit(writer, &params, "{}", &err),
                     NB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "column scale 2"));
    table_writer_destroy(writer);
    free(rows);
    ck_assert_uint_eq(scratch_count(), 0);
}
END_TEST

START_TEST(fields)
{
    static const struct {
        size_t at;
        uint32_t value;
        int rv;
        const char *words;
    } lies[] = {
        {PARAMS_PARTS, 0, NB_ERR_FORMAT, "no parts"},
        {PARAMS_PARTS, 1, NB_ERR_FORMAT, "for 5 values"},
        {PARAMS_PARTS, 2, NB_ERR_FORMAT, "for 5 values"},
        {PARAMS_PARTS, 7, NB_ERR_FORMAT, "0 codebooks of 0 levels"},
        {PARAMS_PARTS, 8, NB_ERR_UNSUPPORTED, "parts 0x8"},
        {PARAMS_N_CODEBOOKS, 1, NB_ERR_FORMAT, "1 codebooks of 0 levels"},
        {PARAMS_N_LEVELS, 1, NB_ERR_FORMAT, "0 codebooks of 1 levels"},
        {PARAMS_N_CODEBOOKS, UINT32_MAX, NB_ERR_FORMAT, "codebooks"},
        {PARAMS_N_LEVELS, UINT32_MAX, NB_ERR_FORMAT, "levels"},
        {PARAMS_ZERO, 1, NB_ERR_FORMAT, "is not 0"},
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        size_t n;
        uint8_t *bytes = write_both(&n);
        put_u32(section_of(bytes) + lies[i].at, lies[i].value);
        assert_refused(bytes, n, lies[i].rv, lies[i].words);
        free(bytes);
    }
}
END_TEST

START_TEST(values)
{
    static const struct {
        size_t at; /* index of the value */
        float value;
        const char *words;
    } lies[] = {
        {1, NAN, "column mean 1"},
        {4, -INFINITY, "column mean 4"},
        {DIM, 0, "column scale 0"},
        {DIM + 4, -1, "column scale 4"},
        {DIM + 2, INFINITY, "column scale 2"},
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        size_t n;
        uint8_t *bytes = write_both(&n);
        put_f32(section_of(bytes) + PARAMS_VALUES + lies[i].at * sizeof(float),
                lies[i].value);
        assert_refused(bytes, n, NB_ERR_FORMAT, lies[i].words);
        free(bytes);
    }
}
END_TEST

/* A scale alone, of the right length. */
START_TEST(scales_without_means)
{
    const struct nb_params params = {.column_mean = mean};
    const char *path;
    size_t n;
    uint8_t *bytes = write_table(&params, &path, &n);
    put_u32(section_of(bytes) + PARAMS_PARTS, PARAMS_COLUMN_SCALE);
    assert_refused(bytes, n, NB_ERR_FORMAT, "scales without means");
    free(bytes);
}
END_TEST

START_TEST(codebooks_of_a_codec_that_has_none)
{
    const struct nb_params params = {.column_mean = mean};
    const char *path;
    size_t n;
    uint8_t *bytes = write_table(&params, &path, &n);
    uint8_t *section = section_of(bytes);
    put_u32(section + PARAMS_PARTS, PARAMS_CODEBOOKS);
    put_u32(section + PARAMS_N_CODEBOOKS, 1);
    put_u32(section + PARAMS_N_LEVELS, DIM);
    assert_refused(bytes, n, NB_ERR_FORMAT, "codec q4 has none");
    free(bytes);
}
END_TEST

START_TEST(places)
{
    size_t n;
    uint8_t *bytes = write_both(&n);
    uint8_t *entry = entry_of(bytes);
    uint64_t length = get_u64(entry + SECTION_LENGTH);
    ck_assert_uint_eq(get_u32(entry + SECTION_FLAGS), SECTION_REQUIRED);
    put_u64(entry + SECTION_LENGTH, 8);
    assert_refused(bytes, n, NB_ERR_FORMAT, "of 8 bytes, not even 16");
    put_u64(entry + SECTION_LENGTH, length - 4);
    assert_refused(bytes, n, NB_ERR_FORMAT, "for 10 values");
    put_u64(entry + SECTION_LENGTH, length);
    /* The metadata's entry comes next: two sections of parameters. */
    put_u32(entry + SECTION_BYTES + SECTION_KIND, SECTION_PARAMS);
    assert_refused(bytes, n, NB_ERR_FORMAT, "0 metadata");
    free(bytes);
}
END_TEST

/* The size is bounded before memory is asked for. */
START_TEST(too_long)
{
    size_t n;
    uint8_t *bytes = write_both(&n);
    struct table_header header;
    uint8_t *entry = entry_of(bytes);
    uint64_t length = TABLE_PARAMS_MAX + 8;
    put_u64(entry + SECTION_LENGTH, length);
    put_u64(entry + SECTION_BYTES + SECTION_OFFSET,
            get_u64(entry + SECTION_OFFSET) + length);
    uint64_t end = get_u64(entry + SECTION_OFFSET) + length +
                   get_u64(entry + SECTION_BYTES + SECTION_LENGTH);
    put_u64(bytes + HEADER_FILE_BYTES, end);
    table_file_fix_header(bytes, n);
    ck_assert_int_eq(table_header_decode(bytes, n, end, "t", &header, &err),
                     NB_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "over the limit"));
    free(bytes);
}
END_TEST

START_TEST(two_sections)
{
    size_t n;
    uint8_t *bytes = write_both(&n);
    struct table_header header;
    ck_assert_int_eq(table_header_decode(bytes, n, n, "t", &header, &err), 0);
    struct table_section *sections = header.sections;
    /* The same again, of no bytes, before the first. */
    sections[3] = sections[2];
    sections[2] = sections[1];
    sections[1].length = 0;
    header.n_sections = 4;
    uint8_t again[TABLE_HEADER_MAX];
    size_t header_bytes = table_header_encode(&header, again);
    memcpy(bytes, again, header_bytes);
    ck_assert_int_eq(table_header_decode(bytes, n, n, "t", &header, &err),
                     NB_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "2 parameters sections"));
    free(bytes);
}
END_TEST

START_TEST(every_flipped_bit_is_found)
{
    size_t n;
    uint8_t *bytes = write_both(&n);
    size_t at = (size_t)(section_of(bytes) - bytes);
    size_t end = at + (size_t)get_u64(entry_of(bytes) + SECTION_LENGTH);
    for (size_t bit = 8 * at; bit < 8 * end; bit += 5) {
        struct table *table;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* Parameters are few: they are checked even where rows are not. */
        ck_assert_int_eq(table_open(scratch_write("x.nbt", bytes, n),
                                    TABLE_VERIFY_HEADER, &table, &err),
                         NB_ERR_CHECKSUM);
        ck_assert_ptr_nonnull(strstr(err.text, "parameters"));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(bytes);
}
END_TEST

START_TEST(exports)
{
    const struct nb_params params = {.column_mean = mean};
    const char *path;
    size_t n;
    free(write_table(&params, &path, &n));
    struct table *table;
    ck_assert_int_eq(table_open(path, TABLE_VERIFY_FULL, &table, &err), 0);
    ck_assert_int_eq(table_export(table, "fbgemm", scratch_path("f"), &err),
                     NB_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "--columns"));
    ck_assert_int_eq(table_export(table, "npy", scratch_path("e"), &err), 0);
    uint8_t *bytes = scratch_read(scratch_path("e"), &n);
    float rows[(size_t)N_ROWS * DIM];
    ck_assert_int_eq(nb_decode(table_rows(table), 0, N_ROWS, NB_FP32, rows), 0);
    ck_assert_mem_eq(bytes + n - sizeof(rows), rows, sizeof(rows));
    free(bytes);
    table_close(table);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("table_params");
    TCase *tests = tcase_create("section");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, come_back);
    tcase_add_test(tests, none_takes_no_section);
    tcase_add_test(tests, bad_params_are_not_written);
    tcase_add_test(tests, fields);
    tcase_add_test(tests, values);
    tcase_add_test(tests, scales_without_means);
    tcase_add_test(tests, codebooks_of_a_codec_that_has_none);
    tcase_add_test(tests, places);
    tcase_add_test(tests, too_long);
    tcase_add_test(tests, two_sections);
    tcase_add_test(tests, every_flipped_bit_is_found);
    tcase_add_test(tests, exports);
    suite_add_tcase(suite, tests);
    return suite;
}
