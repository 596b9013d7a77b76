/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Every call that can fail fails once, and then from there on, while a source
 * of each format is opened, read and read again: the error comes back, and
 * nothing leaks (the sanitizers see to that). */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quant/bytes.h"
#include "storage/source/npy_header.h"
#include "storage/source/source.h"
#include "storage/builder/table_builder.h"
#include "storage/export/table_export.h"
#include "tests/lib/faults.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/zip_files.h"

#define CALLS_MAX 10000

static struct nb_errctx err;
static const char *input;
static struct source_options options;
static const float SIX[6] = {1, -2, 0.5f, 4, 1e-3f, 7};

static void setup(void)
{
    scratch_create();
    options = (struct source_options){0};
}

static int read_all(struct source *source)
{
    float values[6];
    size_t n_rows = 1;
    int rv = 0;
    while (rv == 0 && n_rows > 0) {
        rv = source_read(source, values, 1, &n_rows, &err);
    }
    return rv;
}

static int read_twice(void)
{
    struct source *source;
    int rv = source_open(input, &options, &source, &err);
    if (rv != 0) {
        return rv;
    }
    rv = read_all(source);
    if (rv == 0) {
        rv = source_rewind(source, &err);
    }
    if (rv == 0) {
        rv = read_all(source);
    }
    source_close(source);
    return rv;
}

static void sweep(int (*work)(void), unsigned set, int error, int expected)
{
    for (int for_good = 0; for_good < 2; for_good++) {
        bool given = true;
        size_t n = 0;
        for (; given; n++) {
            ck_assert_uint_lt(n, CALLS_MAX);
            err.text[0] = '\0';
            faults_arm(set, n, error, for_good);
            int rv = work();
            given = faults_disarm();
            ck_assert_msg(!given || rv == expected,
                          "fault %u, call %zu: %d: %s", set, n, rv, err.text);
            ck_assert_msg(given || rv == 0, "%d: %s", rv, err.text);
            ck_assert(!given || err.text[0] != '\0');
        }
        ck_assert_uint_gt(n, 1); /* something was made to fail */
    }
}

static void sweep_reading(void)
{
    sweep(read_twice, FAULT_ALLOC, ENOMEM, NB_ERR_NOMEM);
    sweep(read_twice, FAULT_OPEN, EMFILE, -EMFILE);
    sweep(read_twice, FAULT_READ, EIO, -EIO);
    sweep(read_twice, FAULT_SEEK, EIO, -EIO);
    sweep(read_twice, FAULT_STAT, EIO, -EIO);
    /* Transfers of few bytes are gone on with. */
    for (size_t cap = 1; cap < 8; cap += 3) {
        faults_cap_transfers(cap);
        int rv = read_twice();
        faults_cap_transfers(0);
        ck_assert_msg(rv == 0, "%s", err.text);
    }
}

START_TEST(raw)
{
    input = scratch_write("t.bin", SIX, sizeof(SIX));
    options = (struct source_options){.format = "raw", .dim = 2};
    sweep_reading();
}
END_TEST

START_TEST(hps)
{
    ck_assert_int_eq(mkdir(scratch_path("model"), 0700), 0);
    const char *keys = scratch_write("model/key", SIX, 24);
    const char *vectors = scratch_write("model/emb_vector", SIX, 24);
    input = scratch_path("model");
    sweep_reading();
    unlink(keys);
    unlink(vectors);
}
END_TEST

START_TEST(fbgemm)
{
    const uint8_t rows[12] = {0x10, 0xf2, 0, 0x3c, 0, 0, 1, 2, 0, 0x3c};
    input = scratch_write("t.bin", rows, sizeof(rows));
    options = (struct source_options){.format = "fbgemm", .dim = 4};
    sweep_reading();
    uint8_t bytes[NPY_WRITTEN_BYTES + 12];
    npy_header_write("|u1", 2, 6, bytes);
    memcpy(bytes + NPY_WRITTEN_BYTES, rows, sizeof(rows));
    input = scratch_write("t.npy", bytes, sizeof(bytes));
    sweep_reading();
}
END_TEST

START_TEST(word2vec_binary)
{
    uint8_t bytes[] = "2 1\na 1234\nb 5678\n";
    memset(bytes + 6, 0, 4);
    input = scratch_write("t.bin", bytes, sizeof(bytes) - 1);
    sweep_reading();
}
END_TEST

/* Faults do not reach jansson's allocations: version 2.14 aborts where it reads
 * and memory is short. */
START_TEST(safetensors)
{
    static const char header[] =
        "{\"a\":{\"dtype\":\"BF16\",\"shape\":[3,2],\"data_offsets\":[0,12]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[3,1],\"data_offsets\":[12,24]}}";
    uint8_t bytes[8 + sizeof(header) + 24] = {0};
    put_u64(bytes, sizeof(header) - 1);
    memcpy(bytes + 8, header, sizeof(header) - 1);
    input = scratch_write("t.safetensors", bytes, 8 + sizeof(header) - 1 + 24);
    options.tensor = "a";
    sweep_reading();
}
END_TEST

START_TEST(npz)
{
    for (unsigned method = 0; method <= 8; method += 8) {
        uint8_t bytes[NPY_WRITTEN_BYTES + 48] = {0};
        struct zip_file zip = {0};
        npy_header_write("<i8", 3, 2, bytes);
        zip_file_add(&zip, "ids.npy", 8 - method, bytes, sizeof(bytes));
        npy_header_write("<f8", 3, 2, bytes);
        zip_file_add(&zip, "e.npy", method, bytes, sizeof(bytes));
        zip_file_end(&zip, "");
        input = scratch_write("t.npz", zip.bytes, zip.n);
        zip_file_free(&zip);
        options.tensor = "e";
        sweep_reading();
        options.tensor = NULL; /* every array is looked at */
        sweep_reading();
    }
}
END_TEST

static struct table *opened;
static const char *output;

static int export_glove(void)
{
    int rv = table_export(opened, "glove", output, &err);
    unlink(output);
    return rv;
}

START_TEST(glove_export)
{
    const struct build_options build = {
        .input = scratch_write("t.bin", SIX, sizeof(SIX)),
        .source = {.format = "raw", .dim = 2},
        .output = scratch_path("t.nbt"),
        .codec = "q4",
        .search = "asym",
    };
    struct build_report report;
    ck_assert_int_eq(table_build(&build, &report, &err), 0);
    ck_assert_int_eq(table_open(build.output, TABLE_VERIFY_FULL, &opened, &err),
                     0);
    output = scratch_path("t.txt");
    sweep(export_glove, FAULT_ALLOC, ENOMEM, NB_ERR_NOMEM);
    sweep(export_glove, FAULT_WRITE, ENOSPC, -ENOSPC);
    sweep(export_glove, FAULT_RENAME, EACCES, -EACCES);
    table_close(opened);
    ck_assert_uint_eq(scratch_count(), 2);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("source_faults");
    TCase *tests = tcase_create("faults");
    tcase_add_checked_fixture(tests, setup, scratch_remove);
    tcase_add_test(tests, raw);
    tcase_add_test(tests, hps);
    tcase_add_test(tests, fbgemm);
    tcase_add_test(tests, word2vec_binary);
    tcase_add_test(tests, safetensors);
    tcase_add_test(tests, npz);
    tcase_add_test(tests, glove_export);
    suite_add_tcase(suite, tests);
    return suite;
}
