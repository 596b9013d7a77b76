/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A committed table of each codec is built again, bit for bit. That what is
 * in them decodes as storage/FORMAT.md says, integration/test_codec_files.py
 * shows. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "storage/builder/table_builder.h"
#include "storage/table/table_reader.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

struct golden {
    const char *codec;
    const char *search;
    uint32_t n_codebooks;
};

static const struct golden GOLDEN[] = {
    {"q4", "greedy", 0},    {"q8", NULL, 0},         {"fp16", NULL, 0},
    {"fp32", NULL, 0},      {"q4-kmeans", NULL, 0},  {"q4-kmeans2", NULL, 3},
    {"q4-shared", NULL, 0}, {"q4-shared8", NULL, 0}, {"q4-trellis", NULL, 0},
};

#define N_GOLDEN (sizeof(GOLDEN) / sizeof(GOLDEN[0]))

static struct nb_errctx err;

static struct table *open_table(const char *path)
{
    struct table *table;
    int rv = table_open(path, TABLE_VERIFY_FULL, &table, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return table;
}

START_TEST(every_codec_has_one)
{
    for (size_t i = 0; nb_codec_at(i) != NULL; i++) {
        bool found = false;
        for (size_t j = 0; j < N_GOLDEN; j++) {
            found = found || strcmp(GOLDEN[j].codec, nb_codec_at(i)) == 0;
        }
        ck_assert_msg(found, "no golden file of %s", nb_codec_at(i));
    }
}
END_TEST

START_TEST(builds_as_ever)
{
    const struct golden *golden = &GOLDEN[_i];
    struct nb_codec_traits traits;
    uint32_t id;

    ck_assert_int_eq(nb_codec_by_name(golden->codec, &id), 0);
    ck_assert_int_eq(nb_codec_traits(id, &traits), 0);
    const struct build_options options = {
        .input = "tests/golden/codecs.txt",
        .source = {.format = "auto"},
        .output = scratch_path("built.nbt"),
        .codec = golden->codec,
        .search = golden->search,
        .scales = traits.scales,
        .n_codebooks = golden->n_codebooks,
    };
    struct build_report report;
    char path[64];

    snprintf(path, sizeof(path), "tests/golden/codec_%s.nbt", golden->codec);
    struct table *old = open_table(path);
    int rv = table_build(&options, &report, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    struct table *built = open_table(options.output);
    ck_assert_uint_eq(table_info(built)->rows_checksum,
                      table_info(old)->rows_checksum);
    ck_assert_uint_eq(table_info(built)->params_checksum,
                      table_info(old)->params_checksum);
    ck_assert_uint_eq(table_info(built)->file_bytes,
                      table_info(old)->file_bytes);
    table_close(built);
    table_close(old);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("codec_golden");
    TCase *tests = tcase_create("version 1");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, every_codec_has_one);
    tcase_add_loop_test(tests, builds_as_ever, 0, N_GOLDEN);
    suite_add_tcase(suite, tests);
    return suite;
}
