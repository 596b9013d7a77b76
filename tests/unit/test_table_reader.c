/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "quant/bytes.h"
#include "storage/table/table_format.h"
#include "storage/table/table_reader.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

#define DIM    50u
#define N_ROWS ((size_t)300)

#define WHATEVER UINT64_C(0x1122334455667788)

static struct nb_errctx err;

static int try_open(const char *path, enum table_verify verify)
{
    struct table *table = NULL;
    err.text[0] = '\0';
    int rv = table_open(path, verify, &table, &err);
    if (rv != 0) {
        ck_assert_ptr_null(table);
        ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
    }
    table_close(table);
    return rv;
}

static void assert_words(const char *words)
{
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
}

START_TEST(what_was_written)
{
    const char *path = table_file_write("t.nbt", DIM, N_ROWS);
    uint8_t *rows = table_file_rows(DIM, N_ROWS);
    struct table *table;
    ck_assert_int_eq(table_open(path, TABLE_VERIFY_FULL, &table, &err), 0);

    const struct table_info *info = table_info(table);
    ck_assert_uint_eq(info->n_rows, N_ROWS);
    ck_assert_uint_eq(info->format.dim, DIM);
    ck_assert_uint_eq(info->stride, 29);
    ck_assert_uint_eq(info->rows_offset, TABLE_PAGE);
    ck_assert_uint_eq(info->rows_checksum, XXH3_64bits(rows, 29 * N_ROWS));
    ck_assert_str_eq(info->search, "greedy");
    ck_assert_str_eq(info->source, "vectors.npy");
    ck_assert_str_eq(info->metadata, TABLE_FILE_METADATA);
    ck_assert(info->has_stats);
    ck_assert(info->stats.nl2 == 0.125);
    ck_assert(info->stats.mse == 0.5);
    ck_assert(info->stats.max_abs == 0.25);
    struct stat stat_of;
    ck_assert_int_eq(stat(path, &stat_of), 0);
    ck_assert_uint_eq(info->file_bytes, (uint64_t)stat_of.st_size);

    const struct nb_rows *mapped = table_rows(table);
    ck_assert_uint_eq(mapped->n_rows, N_ROWS);
    ck_assert_uint_eq(mapped->stride, 29);
    ck_assert_uint_eq((uintptr_t)mapped->base % TABLE_PAGE, 0);
    ck_assert_mem_eq(mapped->base, rows, 29 * N_ROWS);
    table_close(table);
    free(rows);
    table_close(NULL);
}
END_TEST

START_TEST(no_such_file)
{
    ck_assert_int_eq(try_open(scratch_path("none"), TABLE_VERIFY_HEADER),
                     -ENOENT);
    ck_assert_int_eq(try_open(scratch_path("."), TABLE_VERIFY_HEADER), -EISDIR);
    const char *fifo = scratch_path("fifo");
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    ck_assert_int_eq(try_open(fifo, TABLE_VERIFY_HEADER), NB_ERR_UNSUPPORTED);
}
END_TEST

START_TEST(foreign_files)
{
    ck_assert_int_eq(try_open(scratch_write("e", "", 0), TABLE_VERIFY_HEADER),
                     NB_ERR_TRUNCATED);
    assert_words("empty");
    const char text[] = "the 0.418 0.24968\nof 0.1 0.2\n";
    ck_assert_int_eq(
        try_open(scratch_write("f", text, sizeof(text)), TABLE_VERIFY_HEADER),
        NB_ERR_MAGIC);
    assert_words("not a nibble table file");
    ck_assert_int_eq(try_open(scratch_write("f", "x", 1), TABLE_VERIFY_HEADER),
                     NB_ERR_MAGIC);
}
END_TEST

START_TEST(cut_short)
{
    const char *path = table_file_write("t.nbt", DIM, N_ROWS);
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    size_t rows_end = TABLE_PAGE + (size_t)29 * N_ROWS;
    size_t cuts[] = {1,
                     TABLE_MAGIC_BYTES - 1,
                     TABLE_MAGIC_BYTES,
                     HEADER_SECTIONS - 1,
                     HEADER_SECTIONS,
                     HEADER_SECTIONS + SECTION_BYTES,
                     HEADER_SECTIONS + 2 * SECTION_BYTES - 1,
                     HEADER_SECTIONS + 2 * SECTION_BYTES,
                     TABLE_PAGE - 1,
                     TABLE_PAGE,
                     TABLE_PAGE + 1,
                     rows_end - 1,
                     rows_end,
                     (rows_end + 7) / 8 * 8,
                     n - 1};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        path = scratch_write("cut.nbt", bytes, cuts[i]);
        ck_assert_int_eq(try_open(path, TABLE_VERIFY_HEADER), NB_ERR_TRUNCATED);
    }
    free(bytes);
}
END_TEST

START_TEST(longer_than_it_says)
{
    const char *path = table_file_write("t.nbt", DIM, N_ROWS);
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    path = scratch_write("long.nbt", bytes, n + 1); /* the NUL after it */
    ck_assert_int_eq(try_open(path, TABLE_VERIFY_HEADER), NB_ERR_FORMAT);
    assert_words("1 bytes past the end");
    free(bytes);
}
END_TEST

static void flip(uint8_t *bytes, size_t n, size_t at, int rv, const char *words)
{
    bytes[at] ^= 0x10;
    const char *path = scratch_write("flip.nbt", bytes, n);
    int got = try_open(path, TABLE_VERIFY_FULL);
    ck_assert_msg(got == rv, "byte %zu: %d, not %d: %s", at, got, rv, err.text);
    assert_words(words);
    bytes[at] ^= 0x10;
}

START_TEST(flipped_bits)
{
    const char *path = table_file_write("t.nbt", DIM, N_ROWS);
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    size_t rows_end = TABLE_PAGE + (size_t)29 * N_ROWS;
    size_t metadata = (rows_end + 7) / 8 * 8;
    for (size_t at = HEADER_CHECKSUM; at < 144; at++) {
        flip(bytes, n, at, NB_ERR_CHECKSUM, "header checksum");
    }
    for (size_t at = 144; at < TABLE_PAGE; at += 97) {
        flip(bytes, n, at, NB_ERR_FORMAT, "between sections");
    }
    flip(bytes, n, TABLE_PAGE - 1, NB_ERR_FORMAT, "offset 4095");
    for (size_t at = TABLE_PAGE; at < rows_end; at += 211) {
        flip(bytes, n, at, NB_ERR_CHECKSUM, "row section, offset 4096");
    }
    flip(bytes, n, rows_end - 1, NB_ERR_CHECKSUM, "row section");
    for (size_t at = rows_end; at < metadata; at++) {
        flip(bytes, n, at, NB_ERR_FORMAT, "between sections");
    }
    for (size_t at = metadata; at < n; at += 7) {
        flip(bytes, n, at, NB_ERR_CHECKSUM, "metadata section");
    }
    flip(bytes, n, n - 1, NB_ERR_CHECKSUM, "metadata section");
    free(bytes);
}
END_TEST

START_TEST(header_verify_skips_rows)
{
    const char *path = table_file_write("t.nbt", DIM, N_ROWS);
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    bytes[TABLE_PAGE] ^= 1;
    path = scratch_write("row.nbt", bytes, n);
    ck_assert_int_eq(try_open(path, TABLE_VERIFY_HEADER), 0);
    ck_assert_int_eq(try_open(path, TABLE_VERIFY_FULL), NB_ERR_CHECKSUM);
    bytes[n - 1] ^= 1;
    path = scratch_write("metadata.nbt", bytes, n);
    ck_assert_int_eq(try_open(path, TABLE_VERIFY_HEADER), NB_ERR_CHECKSUM);
    free(bytes);
}
END_TEST

static int step(void *arg, uint64_t bytes)
{
    *(uint64_t *)arg += bytes;
    return 0;
}

static int refuse(void *arg, uint64_t bytes)
{
    (void)arg;
    (void)bytes;
    return -ECANCELED;
}

START_TEST(the_rest_is_verified_later)
{
    const char *path = table_file_write("t.nbt", DIM, N_ROWS);
    uint64_t read = 0;
    const struct io_pace counting = {step, &read};
    const struct io_pace refusing = {refuse, NULL};
    struct table *table;
    ck_assert_int_eq(table_open(path, TABLE_VERIFY_HEADER, &table, &err), 0);
    ck_assert_int_eq(table_verify_rest(table, path, &counting, &err), 0);
    ck_assert_uint_ge(read, 29 * N_ROWS);
    ck_assert_int_eq(table_verify_rest(table, path, NULL, &err), 0);
    ck_assert_int_eq(table_verify_rest(table, path, &refusing, &err),
                     -ECANCELED);
    read = 0;
    ck_assert_int_eq(table_prefault(table, &counting), 0);
    ck_assert_uint_eq(read, table_info(table)->file_bytes);
    ck_assert_int_eq(table_prefault(table, &refusing), -ECANCELED);

    /* Another file of the same bytes is not the one that is mapped. */
    const char *copy = table_file_write("copy.nbt", DIM, N_ROWS);
    ck_assert_int_eq(table_verify_rest(table, copy, NULL, &err),
                     NB_ERR_TRUNCATED);
    assert_words("not the file any more");
    table_close(table);

    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    bytes[TABLE_PAGE] ^= 1;
    path = scratch_write("row.nbt", bytes, n);
    ck_assert_int_eq(table_open(path, TABLE_VERIFY_HEADER, &table, &err), 0);
    ck_assert_int_eq(table_verify_rest(table, path, NULL, &err),
                     NB_ERR_CHECKSUM);
    assert_words("row section");
    /* Cut short, an error where a mapping would fault. */
    ck_assert_int_eq(truncate(path, TABLE_PAGE), 0);
    ck_assert_int_eq(table_prefault(table, NULL), -EFAULT);
    ck_assert_int_eq(table_verify_rest(table, path, NULL, &err),
                     NB_ERR_TRUNCATED);
    table_close(table);
    free(bytes);
}
END_TEST

START_TEST(newer_version)
{
    const char *path = table_file_write("t.nbt", DIM, N_ROWS);
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    bytes[HEADER_VERSION] = 2;
    path = scratch_write("new.nbt", bytes, n);
    ck_assert_int_eq(try_open(path, TABLE_VERIFY_HEADER), NB_ERR_VERSION);
    free(bytes);
}
END_TEST

/* Replaces the metadata by text and opens the file. */
static int open_with_metadata(const char *text, struct table **table)
{
    const char *path = table_file_write("t.nbt", DIM, 1);
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    uint8_t *entry = bytes + HEADER_SECTIONS + SECTION_BYTES;
    size_t offset = get_u64(entry + SECTION_OFFSET);
    size_t length = strlen(text);
    bytes = realloc(bytes, offset + length);
    ck_assert_ptr_nonnull(bytes);
    entry = bytes + HEADER_SECTIONS + SECTION_BYTES;
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): no string */
    memcpy(bytes + offset, text, length);
    put_u64(entry + SECTION_LENGTH, length);
    put_u64(entry + SECTION_CHECKSUM, XXH3_64bits(text, length));
    put_u64(bytes + HEADER_FILE_BYTES, offset + length);
    table_file_fix_header(bytes, offset + length);
    path = scratch_write("metadata.nbt", bytes, offset + length);
    free(bytes);
    return table_open(path, TABLE_VERIFY_FULL, table, &err);
}

START_TEST(metadata_of_others)
{
    struct table *table;
    ck_assert_int_eq(open_with_metadata("{}", &table), 0);
    ck_assert_str_eq(table_info(table)->search, "");
    ck_assert_str_eq(table_info(table)->source, "");
    ck_assert(!table_info(table)->has_stats);
    table_close(table);
    ck_assert_int_eq(
        open_with_metadata("{\"later\": [1], \"search\": \"exact\"}", &table),
        0);
    ck_assert_str_eq(table_info(table)->search, "exact");
    table_close(table);
}
END_TEST

START_TEST(bad_metadata)
{
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {"", "metadata section, offset 0"},
        {"[]", "not an object"},
        {"{\"a\": 1", "metadata section, offset 7"},
        {"{\"a\": 1, \"a\": 2}", "duplicate"},
        {"{\"search\": \"\\u0000\"}", "metadata section"},
        {"{\"search\": 1}", "malformed member search"},
        {"{\"source\": \"x\"}", "malformed member source"},
        {"{\"source\": {\"name\": []}}", "malformed member source"},
        {"{\"error\": 1}", "malformed member error"},
        {"{\"error\": {\"nl2\": 1, \"mse\": 1}}", "malformed member error"},
        {"{\"error\": {\"nl2\": -1, \"mse\": 1, \"max_abs\": 1}}",
         "malformed member error"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct table *table;
        ck_assert_int_eq(open_with_metadata(cases[i].text, &table),
                         NB_ERR_FORMAT);
        assert_words(cases[i].words);
    }
    /* Nesting is bounded. */
    char *deep = malloc(200001);
    ck_assert_ptr_nonnull(deep);
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    struct table *table;
    ck_assert_int_eq(open_with_metadata(deep, &table), NB_ERR_FORMAT);
    free(deep);
}
END_TEST

/* A sparse file whose header says 2^32 + 5 rows of d = 1; the rows, but for the
 * last, are a hole. */
START_TEST(rows_beyond_32_bits)
{
    const uint64_t n_rows = (UINT64_C(1) << 32) + 5;
    const char *path = table_file_write("t.nbt", 1, 1);
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    uint8_t *rows = bytes + HEADER_SECTIONS;
    uint8_t *metadata = rows + SECTION_BYTES;
    uint64_t metadata_from = get_u64(metadata + SECTION_OFFSET);
    uint64_t metadata_bytes = get_u64(metadata + SECTION_LENGTH);
    uint64_t metadata_to = (TABLE_PAGE + n_rows * 5 + 7) / 8 * 8;
    put_u64(bytes + HEADER_N_ROWS, n_rows);
    put_u64(bytes + HEADER_FILE_BYTES, metadata_to + metadata_bytes);
    put_u64(rows + SECTION_LENGTH, n_rows * 5);
    put_u64(metadata + SECTION_OFFSET, metadata_to);
    table_file_fix_header(bytes, n);

    path = scratch_path("sparse.nbt");
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    int made = ftruncate(fileno(file), (off_t)(metadata_to + metadata_bytes));
    if (made == 0) {
        ck_assert_uint_eq(fwrite(bytes, 144, 1, file), 1);
        uint64_t last = TABLE_PAGE + (n_rows - 1) * 5;
        ck_assert_int_eq(fseeko(file, (off_t)last, SEEK_SET), 0);
        ck_assert_uint_eq(fwrite(bytes + TABLE_PAGE, 5, 1, file), 1);
        ck_assert_int_eq(fseeko(file, (off_t)metadata_to, SEEK_SET), 0);
        ck_assert_uint_eq(
            fwrite(bytes + metadata_from, metadata_bytes, 1, file), 1);
    }
    ck_assert_int_eq(fclose(file), 0);
    if (made == 0) { /* else the file system has no files so large */
        struct table *table;
        ck_assert_int_eq(table_open(path, TABLE_VERIFY_HEADER, &table, &err),
                         0);
        const struct nb_rows *mapped = table_rows(table);
        ck_assert_uint_eq(mapped->n_rows, n_rows);
        ck_assert_mem_eq((const uint8_t *)mapped->base + (n_rows - 1) * 5,
                         bytes + TABLE_PAGE, 5);
        table_close(table);
    }
    free(bytes);
}
END_TEST

/* Sections of later versions: checked under full verify, else left alone. */
START_TEST(unknown_section)
{
    const char *path = table_file_write("t.nbt", DIM, N_ROWS);
    size_t n;
    uint8_t *bytes = scratch_read(path, &n);
    size_t at = (n + 7) / 8 * 8;
    bytes = realloc(bytes, at + 8);
    ck_assert_ptr_nonnull(bytes);
    memset(bytes + n, 0, at - n);
    put_u64(bytes + at, WHATEVER);
    uint8_t *entry = bytes + HEADER_SECTIONS + 2 * (size_t)SECTION_BYTES;
    put_u32(bytes + HEADER_N_SECTIONS, 3);
    put_u32(bytes + HEADER_BYTES, HEADER_SECTIONS + 3 * SECTION_BYTES);
    put_u64(bytes + HEADER_FILE_BYTES, at + 8);
    put_u32(entry + SECTION_KIND, 777);
    put_u64(entry + SECTION_OFFSET, at);
    put_u64(entry + SECTION_LENGTH, 8);
    put_u64(entry + SECTION_CHECKSUM, XXH3_64bits(bytes + at, 8));
    table_file_fix_header(bytes, at + 8);
    path = scratch_write("later.nbt", bytes, at + 8);
    ck_assert_int_eq(try_open(path, TABLE_VERIFY_FULL), 0);
    bytes[at] ^= 1;
    path = scratch_write("later.nbt", bytes, at + 8);
    ck_assert_int_eq(try_open(path, TABLE_VERIFY_FULL), NB_ERR_CHECKSUM);
    assert_words("unknown section");
    put_u32(entry + SECTION_FLAGS, SECTION_REQUIRED);
    table_file_fix_header(bytes, at + 8);
    path = scratch_write("later.nbt", bytes, at + 8);
    ck_assert_int_eq(try_open(path, TABLE_VERIFY_FULL), NB_ERR_UNSUPPORTED);
    free(bytes);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("table_reader");
    TCase *tests = tcase_create("open");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, what_was_written);
    tcase_add_test(tests, no_such_file);
    tcase_add_test(tests, foreign_files);
    tcase_add_test(tests, cut_short);
    tcase_add_test(tests, longer_than_it_says);
    tcase_add_test(tests, flipped_bits);
    tcase_add_test(tests, header_verify_skips_rows);
    tcase_add_test(tests, the_rest_is_verified_later);
    tcase_add_test(tests, newer_version);
    tcase_add_test(tests, metadata_of_others);
    tcase_add_test(tests, bad_metadata);
    tcase_add_test(tests, rows_beyond_32_bits);
    tcase_add_test(tests, unknown_section);
    suite_add_tcase(suite, tests);
    return suite;
}
