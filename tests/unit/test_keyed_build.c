/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Keyed tables from sources: where keys come from, and what is refused. */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "storage/source/npy_header.h"
#include "storage/builder/table_builder.h"
#include "storage/eval/table_eval.h"
#include "storage/export/table_export.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

static struct nb_errctx err;
static struct build_report report;

static int build(const char *input, const char *keys, const char *output)
{
    const struct build_options options = {
        .input = input,
        .output = output,
        .codec = "fp32",
        .scales = NB_SCALES_FP32,
        .keys = keys,
        .threads = 2,
    };
    err.text[0] = '\0';
    return table_build(&options, &report, &err);
}

static void assert_refused(int got, int rv, const char *words)
{
    ck_assert_msg(got == rv, "%d: %s", got, err.text);
    ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
}

static const char *write_text(const char *name, const char *text)
{
    return scratch_write(name, text, strlen(text));
}

static struct table *open_table(const char *path)
{
    struct table *table;
    int rv = table_open(path, TABLE_VERIFY_FULL, &table, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return table;
}

/* The first value of the row of a key; NaN for none. */
static float value_of(const struct table *table, uint64_t key)
{
    float row[3];
    uint64_t unseen;
    const struct nb_lookup lookup = {.ids = {.u64 = &key, .n = 1}};
    ck_assert_int_eq(nb_lookup(table_rows(table), &lookup, row, &unseen), 0);
    return unseen == 0 ? row[0] : (float)NAN;
}

#define THREE "a 1 0 0\nnew york 2 0 0\nc 3 0 0\n"

START_TEST(words_are_keys)
{
    const char *output = scratch_path("t.nbt");
    ck_assert_int_eq(build(write_text("t.txt", THREE), "text", output), 0);
    ck_assert_uint_gt(report.keys_bytes, 0);
    struct table *table = open_table(output);
    ck_assert_str_eq(table_info(table)->keys, "words");
    ck_assert_float_eq(value_of(table, table_word_key("a", 1)), 1);
    ck_assert_float_eq(value_of(table, table_word_key("new york", 8)), 2);
    ck_assert_float_eq(value_of(table, table_word_key("c", 1)), 3);
    ck_assert_float_nan(value_of(table, table_word_key("new", 3)));
    ck_assert_float_nan(value_of(table, 0));
    table_close(table);
}
END_TEST

START_TEST(words_of_binary_files)
{
    uint8_t bytes[64];
    size_t n = (size_t)sprintf((char *)bytes, "2 1\n");
    const char *const words[] = {"the", "of"};
    for (size_t i = 0; i < 2; i++) {
        n += (size_t)sprintf((char *)bytes + n, "%s ", words[i]);
        put_f32(bytes + n, (float)i + 1);
        n += 4;
        bytes[n++] = '\n';
    }
    const char *output = scratch_path("t.nbt");
    ck_assert_int_eq(build(scratch_write("w.bin", bytes, n), "text", output),
                     0);
    struct table *table = open_table(output);
    ck_assert_float_eq(value_of(table, table_word_key("the", 3)), 1);
    ck_assert_float_eq(value_of(table, table_word_key("of", 2)), 2);
    table_close(table);
}
END_TEST

START_TEST(word_that_stands_twice)
{
    const char *input = write_text("t.txt", "a 1\nb 2\nc 3\nb 4\na 5\n");
    int rv = build(input, "text", scratch_path("t.nbt"));
    ck_assert_int_eq(rv, NB_ERR_INVALID);
    ck_assert_msg(
        strstr(err.text, "word 'a' stands twice, in rows 0 and 4") != NULL ||
            strstr(err.text, "word 'b' stands twice, in rows 1 and 3") != NULL,
        "%s", err.text);
    ck_assert_uint_eq(scratch_count(), 1);
}
END_TEST

/* Two words of one XXH3-64: the first makes one factor of its product 0, and so
 * its second half can be chosen freely. */
#define TWIN_A                                                                 \
    "\xb9\x39\x42\xea\x7b\x73\x82\x67\xe7\x78\x4e\x81\xc2\xc9\xe5\x8a"
#define TWIN_B "collides00000001"

START_TEST(words_that_collide)
{
    ck_assert_uint_eq(table_word_key(TWIN_A, 16), table_word_key(TWIN_B, 16));
    const char *input =
        write_text("t.txt", TWIN_A " 1\nb 2\n" TWIN_B " 3\nc 4\n");
    assert_refused(build(input, "text", scratch_path("t.nbt")), NB_ERR_INVALID,
                   "'collides00000001' of rows 0 and 2 have the same key, ");
}
END_TEST

START_TEST(formats_without_words)
{
    const float x[] = {1, 2};
    uint8_t bytes[NPY_WRITTEN_BYTES + sizeof(x)];
    npy_header_write("<f4", 2, 1, bytes);
    memcpy(bytes + NPY_WRITTEN_BYTES, x, sizeof(x));
    assert_refused(build(scratch_write("x.npy", bytes, sizeof(bytes)), "text",
                         scratch_path("t.nbt")),
                   NB_ERR_UNSUPPORTED, "rows of a npy file have no words");
}
END_TEST

/* ---- files of keys ------------------------------------------------------- */

static const char *write_keys(const char *descr, const uint64_t *keys, size_t n,
                              uint64_t columns)
{
    uint8_t bytes[NPY_WRITTEN_BYTES + 64];
    npy_header_write(descr, n, columns, bytes);
    memcpy(bytes + NPY_WRITTEN_BYTES, keys, n * sizeof(*keys));
    return scratch_write("keys", bytes, NPY_WRITTEN_BYTES + n * sizeof(*keys));
}

static const uint64_t three[] = {UINT64_MAX, 0, 77};

static void assert_three(const char *keys)
{
    const char *output = scratch_path("t.nbt");
    int rv = build(write_text("t.txt", THREE), keys, output);
    ck_assert_msg(rv == 0, "%s", err.text);
    struct table *table = open_table(output);
    ck_assert_str_eq(table_info(table)->keys, "numbers");
    for (size_t i = 0; i < 3; i++) {
        ck_assert_float_eq(value_of(table, three[i]), (float)i + 1);
    }
    table_close(table);
}

START_TEST(files_of_keys)
{
    assert_three(write_keys("<u8", three, 3, 0));
    assert_three(write_keys("<i8", three, 3, 0));
    assert_three(scratch_write("raw", three, sizeof(three)));
}
END_TEST

START_TEST(wrong_files_of_keys)
{
    char input[512]; /* outlives the buffers of scratch_path() */
    char output[512];
    snprintf(input, sizeof(input), "%s", write_text("t.txt", THREE));
    snprintf(output, sizeof(output), "%s", scratch_path("t.nbt"));
    const uint64_t four[] = {1, 2, 3, 4};
    const uint64_t same[] = {9, 8, 9};
    assert_refused(build(input, write_keys(">u8", three, 3, 0), output),
                   NB_ERR_UNSUPPORTED, "'>u8'; keys are integers of 64 bits");
    assert_refused(build(input, write_keys("<f8", three, 3, 0), output),
                   NB_ERR_UNSUPPORTED, "'<f8'; keys are integers of 64 bits");
    assert_refused(build(input, write_keys("<u8", three, 3, 1), output),
                   NB_ERR_UNSUPPORTED, "keys are a vector");
    assert_refused(build(input, write_keys("<u8", three, 2, 0), output),
                   NB_ERR_INVALID, "2 keys, and the source has more rows");
    assert_refused(build(input, write_keys("<u8", four, 4, 0), output),
                   NB_ERR_INVALID, "4 keys for 3 rows");
    assert_refused(build(input, write_keys("<u8", same, 3, 0), output),
                   NB_ERR_INVALID, "key 9 stands twice, in rows 0 and 2");
    assert_refused(build(input, scratch_write("raw", three, 23), output),
                   NB_ERR_SOURCE, "23 bytes are not whole keys");
    assert_refused(build(input, scratch_path("none"), output), -ENOENT,
                   "cannot open");
    const char *keys = write_keys("<u8", three, 3, 0);
    assert_refused(build(input, keys, keys), NB_ERR_INVALID,
                   "is the file of keys");
}
END_TEST

/* ---- what is made of them ------------------------------------------------ */

START_TEST(keys_are_exported_beside_rows)
{
    const char *output = scratch_path("t.nbt");
    const char *exported = scratch_path("keys.npy");
    const char *input = write_text("t.txt", THREE);
    ck_assert_int_eq(build(input, write_keys("<u8", three, 3, 0), output), 0);
    struct table *table = open_table(output);
    ck_assert_int_eq(table_export(table, "keys", exported, &err), 0);
    size_t n;
    uint8_t *bytes = scratch_read(exported, &n);
    ck_assert_uint_eq(n, NPY_WRITTEN_BYTES + sizeof(three));
    ck_assert_ptr_nonnull(strstr((char *)bytes + NPY_PREFIX_V1, "(3,), "));
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t key = get_u64(bytes + NPY_WRITTEN_BYTES + i * NB_KEY_BYTES);
        float row[3];
        ck_assert_uint_eq(key, table_key(table, i));
        ck_assert_int_eq(nb_decode(table_rows(table), i, 1, NB_FP32, row), 0);
        ck_assert_float_eq(value_of(table, key), row[0]);
    }
    free(bytes);
    table_close(table);

    ck_assert_int_eq(build(input, "none", output), 0);
    table = open_table(output);
    assert_refused(table_export(table, "keys", exported, &err),
                   NB_ERR_UNSUPPORTED, "has no keys");
    table_close(table);
}
END_TEST

/* A table is compared with its source row by row, whatever their order. */
START_TEST(evaluated_by_keys)
{
    const char *output = scratch_path("t.nbt");
    const struct source_options options = {0};
    struct source *source;
    struct row_keys *keys;
    struct eval_report eval;
    const char *input = write_text("t.txt", THREE);
    const char *file = write_keys("<u8", three, 3, 0);
    ck_assert_int_eq(build(input, file, output), 0);
    struct table *table = open_table(output);
    ck_assert_int_eq(source_open(input, &options, &source, &err), 0);
    assert_refused(table_eval(table, source, NULL, NULL, NULL, &eval, &err),
                   NB_ERR_INVALID, "give the file of keys");
    ck_assert_int_eq(row_keys_open(file, &keys, &err), 0);
    int rv = table_eval(table, source, keys, NULL, NULL, &eval, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert_double_eq(eval.losses.stats.nl2, report.stats.nl2);
    ck_assert_double_eq(eval.bags.nl2[0], 0);
    row_keys_close(keys);

    const uint64_t others[] = {1, 2, 3};
    ck_assert_int_eq(source_rewind(source, &err), 0);
    ck_assert_int_eq(
        row_keys_open(write_keys("<u8", others, 3, 0), &keys, &err), 0);
    assert_refused(table_eval(table, source, keys, NULL, NULL, &eval, &err),
                   NB_ERR_INVALID, "is not in the table");
    row_keys_close(keys);
    source_close(source);
    table_close(table);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("keyed_build");
    TCase *tc = tcase_create("keyed_build");
    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, words_are_keys);
    tcase_add_test(tc, words_of_binary_files);
    tcase_add_test(tc, word_that_stands_twice);
    tcase_add_test(tc, words_that_collide);
    tcase_add_test(tc, formats_without_words);
    tcase_add_test(tc, files_of_keys);
    tcase_add_test(tc, wrong_files_of_keys);
    tcase_add_test(tc, keys_are_exported_beside_rows);
    tcase_add_test(tc, evaluated_by_keys);
    suite_add_tcase(suite, tc);
    return suite;
}
