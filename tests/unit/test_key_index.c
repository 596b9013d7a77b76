/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Keyed table files: what is in them, and broken ones. */
#include <check.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "quant/bytes.h"
#include "storage/table/key_index.h"
#include "storage/table/table_format.h"
#include "storage/table/table_reader.h"
#include "tests/lib/keyed_files.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

#define DIM    9u
#define N_KEYS 5000u

static uint64_t keys[N_KEYS];
static struct nb_errctx err;

static void setup(void)
{
    scratch_create();
    for (size_t i = 0; i < N_KEYS; i++) {
        keys[i] = i * UINT64_C(0x9e3779b97f4a7c15);
    }
    err.text[0] = '\0';
}

static int open_bytes(const uint8_t *bytes, size_t n, enum table_verify verify)
{
    struct table *table;
    const char *path = scratch_write("broken.nbt", bytes, n);
    int rv = table_open(path, verify, &table, &err);
    if (rv == 0) {
        table_close(table);
    }
    return rv;
}

/* A whole file, and where a section of it is listed. */
struct bytes {
    uint8_t *at;
    size_t n;
};

static struct bytes whole_file(void)
{
    struct bytes file;
    file.at = scratch_read(keyed_file_write("whole.nbt", DIM, keys, N_KEYS, 2),
                           &file.n);
    return file;
}

static uint8_t *entry_of(const struct bytes *file, uint32_t kind)
{
    uint8_t *entry = file->at + HEADER_SECTIONS;
    while (get_u32(entry + SECTION_KIND) != kind) {
        entry += SECTION_BYTES;
    }
    return entry;
}

static uint8_t *section_of(const struct bytes *file, uint32_t kind)
{
    return file->at + get_u64(entry_of(file, kind) + SECTION_OFFSET);
}

/* Makes the checksums those of what is there. */
static void fix_checksums(const struct bytes *file, uint32_t kind)
{
    uint8_t *entry = entry_of(file, kind);
    put_u64(
        entry + SECTION_CHECKSUM,
        XXH3_64bits(section_of(file, kind), get_u64(entry + SECTION_LENGTH)));
    table_file_fix_header(file->at, file->n);
}

static void assert_refused(const struct bytes *file, int rv, const char *words)
{
    int got = open_bytes(file->at, file->n, TABLE_VERIFY_HEADER);
    ck_assert_msg(got == rv, "%d: %s", got, err.text);
    ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
}

START_TEST(checksum_covers_the_index)
{
    struct bytes file = whole_file();
    size_t n = get_u64(entry_of(&file, SECTION_KEYS) + SECTION_LENGTH);
    for (size_t i = 0; i < n; i += 97) {
        section_of(&file, SECTION_KEYS)[i] ^= 0x10;
        assert_refused(&file, NB_ERR_CHECKSUM, "key index section, offset");
        section_of(&file, SECTION_KEYS)[i] ^= 0x10;
    }
    ck_assert_int_eq(open_bytes(file.at, file.n, TABLE_VERIFY_FULL), 0);
    free(file.at);
}
END_TEST

/* Fields that are wrong under a right checksum. */
static const struct {
    int offset;
    int bytes;
    uint64_t value;
    int rv;
    const char *words;
} fields[] = {
    {KEYS_N_PARTS, 8, 0, NB_ERR_FORMAT, "length is not that of its parts"},
    {KEYS_N_PARTS, 8, 2, NB_ERR_FORMAT, "length is not that of its parts"},
    {KEYS_N_PARTS, 8, UINT64_MAX, NB_ERR_FORMAT, "length is not"},
    {KEYS_N_PARTS, 8, UINT64_C(1) << 60, NB_ERR_FORMAT, "length is not"},
    {KEYS_N_BUCKETS, 4, 0, NB_ERR_FORMAT, "length is not"},
    {KEYS_N_BUCKETS, 4, UINT32_MAX, NB_ERR_FORMAT, "length is not"},
    {KEYS_KIND, 4, 2, NB_ERR_UNSUPPORTED, "keys of kind 2"},
    {KEYS_ZERO, 8, 1, NB_ERR_FORMAT, "field at 24 is not 0"},
    {KEYS_PARTS + KEYS_PART_FIRST_ROW, 8, 1, NB_ERR_FORMAT, "part 0"},
    {KEYS_PARTS + KEYS_PART_N_ROWS, 4, 5001, NB_ERR_FORMAT, "part 0"},
    {KEYS_PARTS + KEYS_PART_N_ROWS, 4, UINT32_MAX, NB_ERR_FORMAT, "part 0"},
    {KEYS_PARTS + KEYS_PART_N_ROWS, 4, 0, NB_ERR_FORMAT, "part 1"},
    {KEYS_PARTS + KEYS_PART_SEED, 4, 1 << 24, NB_ERR_FORMAT, "part 0"},
    {KEYS_PARTS + KEYS_PART_BYTES, 8, UINT64_MAX, NB_ERR_FORMAT, "part 1"},
    {KEYS_PARTS + 2 * KEYS_PART_BYTES + KEYS_PART_N_ROWS, 4, 1, NB_ERR_FORMAT,
     "parts have"},
};

START_TEST(fields_are_checked)
{
    struct bytes file = whole_file();
    uint8_t *at = section_of(&file, SECTION_KEYS) + fields[_i].offset;
    if (fields[_i].bytes == 8) {
        put_u64(at, fields[_i].value);
    } else {
        put_u32(at, (uint32_t)fields[_i].value);
    }
    fix_checksums(&file, SECTION_KEYS);
    assert_refused(&file, fields[_i].rv, "key index section at ");
    assert_refused(&file, fields[_i].rv, fields[_i].words);
    free(file.at);
}
END_TEST

/* A section of one protected row behind the others, as it would be. */
START_TEST(protected_rows_are_refused)
{
    struct bytes file = whole_file();
    size_t blocks = (N_KEYS + NB_PROTECTED_ROWS - 1) / NB_PROTECTED_ROWS *
                    sizeof(struct nb_protected_block);
    size_t row_bytes =
        get_u64(file.at + HEADER_STRIDE) - NB_KEY_BYTES; /* side by side */
    size_t begin = (file.n + 7) / 8 * 8;
    size_t end = begin + blocks + row_bytes;
    uint32_t n_sections = get_u32(file.at + HEADER_N_SECTIONS);
    uint8_t *at = calloc(1, end);
    ck_assert_ptr_nonnull(at);
    memcpy(at, file.at, file.n);
    free(file.at);
    file = (struct bytes){at, end};

    uint8_t *entry = at + HEADER_SECTIONS + n_sections * (size_t)SECTION_BYTES;
    put_u32(entry + SECTION_KIND, SECTION_PROTECTED);
    put_u32(entry + SECTION_FLAGS, SECTION_REQUIRED);
    put_u64(entry + SECTION_OFFSET, begin);
    put_u64(entry + SECTION_LENGTH, end - begin);
    put_u32(at + HEADER_N_SECTIONS, n_sections + 1);
    put_u32(at + HEADER_BYTES, get_u32(at + HEADER_BYTES) + SECTION_BYTES);
    put_u64(at + HEADER_FILE_BYTES, end);
    at[begin + offsetof(struct nb_protected_block, bits)] = 1;
    for (size_t b = 1; b < blocks / sizeof(struct nb_protected_block); b++) {
        put_u64(at + begin + b * sizeof(struct nb_protected_block), 1);
    }
    fix_checksums(&file, SECTION_PROTECTED);
    assert_refused(&file, NB_ERR_FORMAT, "no table has both");
    free(file.at);
}
END_TEST

/* A lie that only looking at every key finds out. */
START_TEST(full_verification_finds_every_key)
{
    struct bytes file = whole_file();
    size_t n = get_u64(entry_of(&file, SECTION_KEYS) + SECTION_LENGTH);
    section_of(&file, SECTION_KEYS)[n - 1] ^= 1;
    section_of(&file, SECTION_KEYS)[n - 2] ^= 1;
    section_of(&file, SECTION_KEYS)[n - 3] ^= 1;
    fix_checksums(&file, SECTION_KEYS);
    ck_assert_int_eq(open_bytes(file.at, file.n, TABLE_VERIFY_HEADER), 0);
    ck_assert_int_eq(open_bytes(file.at, file.n, TABLE_VERIFY_FULL),
                     NB_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "is not where the key index has"));
    free(file.at);
}
END_TEST

START_TEST(key_that_stands_twice_is_found_too)
{
    struct bytes file = whole_file();
    uint8_t *rows = section_of(&file, SECTION_ROWS);
    memcpy(rows + 9, rows + 17 + 9, 8);
    fix_checksums(&file, SECTION_ROWS);
    ck_assert_int_eq(open_bytes(file.at, file.n, TABLE_VERIFY_FULL),
                     NB_ERR_FORMAT);
    free(file.at);
}
END_TEST

/* Rows need room for keys; there is one index at most; its size is bounded. */
START_TEST(directory_is_checked)
{
    struct bytes file = whole_file();
    uint8_t *entry = entry_of(&file, SECTION_KEYS);
    uint64_t length = get_u64(entry + SECTION_LENGTH);

    put_u64(entry + SECTION_LENGTH, UINT64_C(1) << 40);
    table_file_fix_header(file.at, file.n);
    assert_refused(&file, NB_ERR_FORMAT, "key index section of");
    put_u64(entry + SECTION_LENGTH, length);

    uint8_t *metadata = entry_of(&file, SECTION_METADATA);
    put_u32(metadata + SECTION_KIND, SECTION_KEYS);
    table_file_fix_header(file.at, file.n);
    assert_refused(&file, NB_ERR_FORMAT, "1 row and 0 metadata sections");
    put_u32(metadata + SECTION_KIND, SECTION_METADATA);

    /* Rows of 17 bytes need 11, and 8 more make 19. */
    put_u32(file.at + HEADER_DIM, 13);
    table_file_fix_header(file.at, file.n);
    assert_refused(&file, NB_ERR_FORMAT, "and their keys");
    free(file.at);
}
END_TEST

/* A program without keyed tables sees a required section of unknown kind. */
START_TEST(index_is_a_required_section)
{
    struct bytes file = whole_file();
    const uint8_t *entry = entry_of(&file, SECTION_KEYS);
    ck_assert_uint_eq(get_u32(entry + SECTION_FLAGS), SECTION_REQUIRED);
    free(file.at);
}
END_TEST

static int commit(struct table_writer *writer,
                  const struct nb_unseen_policy *unseen)
{
    if (unseen != NULL) {
        table_writer_set_unseen(writer, unseen);
    }
    int rv = table_writer_commit(writer, NULL, TABLE_FILE_METADATA, &err);
    if (rv != 0) {
        table_writer_destroy(writer);
    }
    return rv;
}

START_TEST(clash_names_key_and_rows)
{
    keys[4001] = keys[17];
    keys[4999] = keys[17];
    struct table_writer *writer =
        keyed_file_begin(scratch_path("t.nbt"), DIM, keys, N_KEYS, 2);
    int rv = table_writer_commit(writer, NULL, TABLE_FILE_METADATA, &err);
    char words[80];
    ck_assert_int_eq(rv, NB_ERR_INVALID);
    snprintf(words, sizeof(words),
             "key %" PRIu64 " stands twice, in rows 17 and 4001", keys[17]);
    ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
    const struct key_clash *clash = table_writer_clash(writer);
    ck_assert_ptr_nonnull(clash);
    ck_assert_uint_eq(clash->key, keys[17]);
    table_writer_destroy(writer);
    ck_assert_uint_eq(scratch_count(), 0);
}
END_TEST

/* More of one key than a part may hold. */
START_TEST(one_key_everywhere_is_a_clash)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        keys[i] = i < 100 ? i : 5;
    }
    struct table_writer *writer =
        keyed_file_begin(scratch_path("t.nbt"), DIM, keys, N_KEYS, 1);
    ck_assert_int_eq(commit(writer, NULL), NB_ERR_INVALID);
    ck_assert_msg(strstr(err.text, "in rows 5 and 100") != NULL, "%s",
                  err.text);
}
END_TEST

START_TEST(default_row_is_that_of_the_source)
{
    const struct nb_unseen_policy unseen = {.action = NB_UNSEEN_DEFAULT,
                                            .default_row = 1234};
    const char *path = scratch_path("t.nbt");
    struct table_writer *writer = keyed_file_begin(path, DIM, keys, N_KEYS, 2);
    ck_assert_int_eq(commit(writer, &unseen), 0);
    table_writer_destroy(writer);
    struct table *table;
    ck_assert_int_eq(table_open(path, TABLE_VERIFY_FULL, &table, &err), 0);
    const struct table_info *info = table_info(table);
    ck_assert_uint_eq(info->unseen.action, NB_UNSEEN_DEFAULT);
    ck_assert_uint_eq(table_key(table, info->unseen.default_row), keys[1234]);
    table_close(table);
}
END_TEST

START_TEST(default_row_must_be_there)
{
    const struct nb_unseen_policy unseen = {.action = NB_UNSEEN_DEFAULT,
                                            .default_row = N_KEYS};
    ck_assert_int_eq(
        commit(keyed_file_begin(scratch_path("t.nbt"), DIM, keys, N_KEYS, 2),
               &unseen),
        NB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "row 5000 for unseen ids, of 5000"));
}
END_TEST

/* The section of unseen ids, under a right checksum. */
static const struct {
    uint32_t action;
    uint32_t zero;
    uint64_t row;
    int rv;
} policies[] = {
    {NB_UNSEEN_DEFAULT, 0, N_KEYS - 1, 0},
    {NB_UNSEEN_ERROR, 0, 0, 0},
    {NB_UNSEEN_ZERO, 0, 0, NB_ERR_FORMAT},
    {NB_UNSEEN_DEFAULT, 0, N_KEYS, NB_ERR_FORMAT},
    {NB_UNSEEN_DEFAULT, 1, 0, NB_ERR_FORMAT},
    {NB_UNSEEN_ERROR, 0, 1, NB_ERR_FORMAT},
    {3, 0, 0, NB_ERR_UNSUPPORTED},
};

START_TEST(unseen_section_is_checked)
{
    const struct nb_unseen_policy unseen = {.action = NB_UNSEEN_ERROR};
    const char *path = scratch_path("t.nbt");
    struct table_writer *writer = keyed_file_begin(path, DIM, keys, N_KEYS, 2);
    ck_assert_int_eq(commit(writer, &unseen), 0);
    table_writer_destroy(writer);
    struct bytes file;
    file.at = scratch_read(path, &file.n);
    uint8_t *at = section_of(&file, SECTION_UNSEEN);
    put_u32(at + UNSEEN_ACTION, policies[_i].action);
    put_u32(at + UNSEEN_ZERO, policies[_i].zero);
    put_u64(at + UNSEEN_DEFAULT_ROW, policies[_i].row);
    fix_checksums(&file, SECTION_UNSEEN);
    int rv = open_bytes(file.at, file.n, TABLE_VERIFY_HEADER);
    ck_assert_msg(rv == policies[_i].rv, "%d: %s", rv, err.text);
    ck_assert(rv == 0 || strstr(err.text, "unseen ids section at ") != NULL);
    free(file.at);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("key_index");
    TCase *tc = tcase_create("key_index");
    tcase_add_checked_fixture(tc, setup, scratch_remove);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, checksum_covers_the_index);
    tcase_add_test(tc, protected_rows_are_refused);
    tcase_add_loop_test(tc, fields_are_checked, 0,
                        sizeof(fields) / sizeof(fields[0]));
    tcase_add_test(tc, full_verification_finds_every_key);
    tcase_add_test(tc, key_that_stands_twice_is_found_too);
    tcase_add_test(tc, directory_is_checked);
    tcase_add_test(tc, index_is_a_required_section);
    tcase_add_test(tc, clash_names_key_and_rows);
    tcase_add_test(tc, one_key_everywhere_is_a_clash);
    tcase_add_test(tc, default_row_is_that_of_the_source);
    tcase_add_test(tc, default_row_must_be_there);
    tcase_add_loop_test(tc, unseen_section_is_checked, 0,
                        sizeof(policies) / sizeof(policies[0]));
    suite_add_tcase(suite, tc);
    return suite;
}
