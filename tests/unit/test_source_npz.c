/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "storage/source/npy_header.h"
#include "storage/source/zip_archive.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/source_checks.h"
#include "tests/lib/zip_files.h"

static const struct source_options AUTO;
static const struct source_options NAMED = {.format = "npz"};

static const float SIX[6] = {1, -2, 0.5f, 4, 1e-3f, 7};

#define SIX_BYTES (NPY_WRITTEN_BYTES + sizeof(SIX))

static struct zip_file zip;

static void setup(void)
{
    scratch_create();
    memset(&zip, 0, sizeof(zip));
}

static void teardown(void)
{
    zip_file_free(&zip);
    scratch_remove();
}

static const char *write_zip(void)
{
    return scratch_write("t.npz", zip.bytes, zip.n);
}

/* Adds an array of SIX as n_rows x n_columns. */
static void add_six(const char *name, unsigned method, uint64_t n_rows,
                    uint64_t n_columns)
{
    uint8_t bytes[SIX_BYTES];
    npy_header_write("<f4", n_rows, n_columns, bytes);
    memcpy(bytes + NPY_WRITTEN_BYTES, SIX, sizeof(SIX));
    zip_file_add(&zip, name, method, bytes, sizeof(bytes));
}

static const char *write_one(unsigned method)
{
    zip_file_free(&zip);
    memset(&zip, 0, sizeof(zip));
    add_six("e.npy", method, 3, 2);
    zip_file_end(&zip, "");
    return write_zip();
}

START_TEST(methods)
{
    source_check_rows(write_one(ZIP_STORED), &AUTO, "npz", SIX, 3, 2);
    source_check_rows(write_one(ZIP_DEFLATED), &AUTO, "npz", SIX, 3, 2);
    source_check_rows(write_one(ZIP_DEFLATED),
                      &(struct source_options){.tensor = "e", .dim = 2}, "npz",
                      SIX, 3, 2);
}
END_TEST

START_TEST(zip64_and_comment)
{
    zip.zip64 = true;
    add_six("a.npy", ZIP_STORED, 2, 3);
    add_six("b.npy", ZIP_DEFLATED, 3, 2);
    zip_file_end(&zip, "a comment PK\5\6 that holds a magic");
    const char *path = write_zip();
    source_check_rows(path, &(struct source_options){.tensor = "a"}, "npz", SIX,
                      2, 3);
    source_check_rows(path, &(struct source_options){.tensor = "b"}, "npz", SIX,
                      3, 2);
}
END_TEST

static void add_ids(void)
{
    uint8_t bytes[NPY_WRITTEN_BYTES + 16] = {0};
    npy_header_write("<i8", 2, 1, bytes);
    zip_file_add(&zip, "ids.npy", ZIP_STORED, bytes, sizeof(bytes));
}

static const char *write_ids(void)
{
    zip_file_free(&zip);
    memset(&zip, 0, sizeof(zip));
    add_ids();
    zip_file_end(&zip, "");
    return write_zip();
}

START_TEST(several_arrays)
{
    add_ids();
    zip_file_add(&zip, "notes.txt", 99, "text", 4);
    add_six("dir/item.npy", ZIP_DEFLATED, 3, 2);
    zip_file_end(&zip, "");
    const char *path = write_zip();
    /* The only matrix of floats. */
    source_check_rows(path, &AUTO, "npz", SIX, 3, 2);
    source_check_refused(path, &(struct source_options){.tensor = "ids"},
                         NB_ERR_UNSUPPORTED, "t.npz: ids: .npy of integers");
    source_check_refused(path, &(struct source_options){.tensor = "user"},
                         NB_ERR_NOT_FOUND,
                         "no tensor 'user'; matrices of floats: dir/item");
    source_check_refused(write_ids(), &AUTO, NB_ERR_UNSUPPORTED,
                         "t.npz: ids: .npy of integers");
    source_check_refused(write_ids(), &(struct source_options){.tensor = "e"},
                         NB_ERR_NOT_FOUND,
                         "no tensor 'e'; matrices of floats: none");
    zip_file_free(&zip);
    memset(&zip, 0, sizeof(zip));
    add_six("item.npy", ZIP_DEFLATED, 3, 2);
    add_six("user.npy", ZIP_STORED, 2, 3);
    zip_file_end(&zip, "");
    path = write_zip();
    source_check_rows(path, &(struct source_options){.tensor = "user"}, "npz",
                      SIX, 2, 3);
    source_check_rows(path, &(struct source_options){.tensor = "item"}, "npz",
                      SIX, 3, 2);
    source_check_refused(path, &AUTO, NB_ERR_INVALID,
                         "2 matrices, one must be named: item, user");
}
END_TEST

START_TEST(no_arrays)
{
    zip_file_end(&zip, "");
    source_check_refused(write_zip(), &AUTO, NB_ERR_UNSUPPORTED,
                         "no matrix of floats");
    zip_file_free(&zip);
    memset(&zip, 0, sizeof(zip));
    zip_file_add(&zip, "archive/data.pkl", ZIP_STORED, "x", 1);
    zip_file_end(&zip, "");
    source_check_refused(write_zip(), &AUTO, NB_ERR_UNSUPPORTED,
                         "PyTorch checkpoint; ckpt_to_safetensors.py");
}
END_TEST

START_TEST(same_name)
{
    add_six("e.npy", ZIP_STORED, 3, 2);
    add_six("e.npy", ZIP_STORED, 2, 3);
    zip_file_end(&zip, "");
    source_check_refused(write_zip(), &(struct source_options){.tensor = "e"},
                         NB_ERR_SOURCE, "two arrays are called 'e'");
}
END_TEST

/* More than is read at once, packed and not, well and badly packed. */
START_TEST(long_arrays)
{
    const size_t n_rows = 50000;
    const uint32_t dim = 7;
    size_t n = NPY_WRITTEN_BYTES + n_rows * dim * sizeof(float);
    uint8_t *bytes = malloc(n);
    float *values = malloc(n_rows * dim * sizeof(float));
    uint32_t random = 1;
    for (size_t i = 0; i < n_rows * dim; i++) {
        random = random * 1664525 + 1013904223;
        values[i] = i % 5 == 0 ? (float)random : 0.5f;
    }
    npy_header_write("<f4", n_rows, dim, bytes);
    memcpy(bytes + NPY_WRITTEN_BYTES, values, n_rows * dim * sizeof(float));
    zip_file_add(&zip, "a.npy", ZIP_STORED, bytes, n);
    zip_file_add(&zip, "b.npy", ZIP_DEFLATED, bytes, n);
    ck_assert_uint_gt(zip.members[1].packed_bytes, 200000);
    zip_file_end(&zip, "");
    const char *path = write_zip();
    source_check_rows(path, &(struct source_options){.tensor = "a"}, "npz",
                      values, n_rows, dim);
    source_check_rows(path, &(struct source_options){.tensor = "b"}, "npz",
                      values, n_rows, dim);
    free(values);
    free(bytes);
}
END_TEST

START_TEST(no_rows)
{
    uint8_t bytes[NPY_WRITTEN_BYTES];
    npy_header_write("<f4", 0, 2, bytes);
    zip_file_add(&zip, "e.npy", ZIP_DEFLATED, bytes, sizeof(bytes));
    zip_file_end(&zip, "");
    source_check_rows(write_zip(), &AUTO, "npz", SIX, 0, 2);
}
END_TEST

/* ---- files that lie ------------------------------------------------------ */

/* A number written over n bytes, and what it leads to. */
struct lie {
    size_t at;
    size_t n;
    uint64_t value;
    int rv;
    const char *words;
};

static void assert_lie(size_t base, const struct lie *lie)
{
    uint8_t bytes[8];
    put_u64(bytes, lie->value);
    memcpy(zip.bytes + base + lie->at, bytes, lie->n);
    source_check_refused(write_zip(), &NAMED, lie->rv, lie->words);
}

START_TEST(end_records)
{
    static const struct lie cases[] = {
        {0, 4, 0, NB_ERR_SOURCE, "no end record"},
        {4, 2, 1, NB_ERR_UNSUPPORTED, "several disks"},
        {6, 2, 1, NB_ERR_UNSUPPORTED, "several disks"},
        {8, 2, 2, NB_ERR_UNSUPPORTED, "several disks"},
        {8, 4, 0x00020002, NB_ERR_SOURCE, "more members than"},
        {8, 4, 0, NB_ERR_SOURCE, "more than its members"},
        {12, 4, 50, NB_ERR_SOURCE, "directory does not end here"},
        {12, 4, UINT32_MAX, NB_ERR_SOURCE, "directory does not end here"},
        {16, 4, 0, NB_ERR_SOURCE, "directory does not end here"},
        {16, 4, UINT32_MAX, NB_ERR_SOURCE, "directory does not end here"},
        {20, 2, 1, NB_ERR_SOURCE, "no end record"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_one(ZIP_STORED);
        assert_lie(zip.end, &cases[i]);
    }
}
END_TEST

START_TEST(zip64_end_records)
{
    static const struct lie cases[] = {
        {0, 4, 0, NB_ERR_SOURCE, "not a zip64 end record"},
        {16, 4, 1, NB_ERR_UNSUPPORTED, "several disks"},
        {24, 8, 7, NB_ERR_UNSUPPORTED, "several disks"},
        {40, 8, UINT64_MAX, NB_ERR_SOURCE, "does not end here"},
        {48, 8, UINT64_MAX - 10, NB_ERR_SOURCE, "does not end here"},
        {56, 4, 0, NB_ERR_SOURCE, "does not end here"},
        {60, 4, 1, NB_ERR_SOURCE, "not before its locator"},
        {64, 8, UINT64_MAX, NB_ERR_SOURCE, "not before its locator"},
        {64, 8, 0, NB_ERR_SOURCE, "not a zip64 end record"},
        {72, 4, 2, NB_ERR_SOURCE, "not before its locator"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        teardown();
        setup();
        zip.zip64 = true;
        add_six("e.npy", ZIP_STORED, 3, 2);
        zip_file_end(&zip, "");
        assert_lie(zip.end, &cases[i]);
    }
}
END_TEST

START_TEST(directory_entries)
{
    static const struct lie cases[] = {
        {0, 4, 0, NB_ERR_SOURCE, "not a directory entry"},
        {8, 2, 1, NB_ERR_UNSUPPORTED, "encrypted"},
        {10, 2, 93, NB_ERR_UNSUPPORTED, "compression method 93"},
        {10, 2, ZIP_DEFLATED, NB_ERR_SOURCE, "not the member"},
        {16, 4, 1, NB_ERR_SOURCE, "the directory says 00000001"},
        {20, 4, SIX_BYTES - 1, NB_ERR_SOURCE, "impossible offset or sizes"},
        {20, 4, UINT32_MAX, NB_ERR_SOURCE, "without its long sizes"},
        {24, 4, SIX_BYTES + 1, NB_ERR_SOURCE, "impossible offset or sizes"},
        {20, 8, (SIX_BYTES - 1) * 0x100000001, NB_ERR_SOURCE,
         "3 x 2 values of 4 bytes"},
        {20, 8, 8 * 0x100000001, NB_ERR_SOURCE,
         "ends at 8 bytes, 2 more were to come"},
        {20, 8, (SIX_BYTES + 1) * 0x100000001, NB_ERR_SOURCE,
         "impossible offset or sizes"},
        {28, 2, 4, NB_ERR_SOURCE, "more than its members"},
        {28, 2, 6, NB_ERR_SOURCE, "ends inside an entry"},
        {30, 2, UINT16_MAX, NB_ERR_SOURCE, "ends inside an entry"},
        {32, 2, 1, NB_ERR_SOURCE, "ends inside an entry"},
        {42, 4, 1, NB_ERR_SOURCE, "impossible offset or sizes"},
        {42, 4, UINT32_MAX - 1, NB_ERR_SOURCE, "impossible offset or sizes"},
        {46, 1, 'f', NB_ERR_SOURCE, "not the member"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_one(ZIP_STORED);
        assert_lie(zip.members[0].entry, &cases[i]);
    }
}
END_TEST

START_TEST(local_headers)
{
    static const struct {
        size_t at;
        uint8_t value;
        const char *words;
    } cases[] = {
        {0, 0, "not the member"},
        {8, 8, "not the member"},
        {26, 4, "not the member"},
        {30, 'f', "not the member"},
        {28, 1, "reaches into the directory"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_one(ZIP_STORED);
        zip.bytes[zip.members[0].offset + cases[i].at] = cases[i].value;
        source_check_refused(write_zip(), &NAMED, NB_ERR_SOURCE,
                             cases[i].words);
    }
}
END_TEST

/* A value is changed, the checksum is not. */
START_TEST(checksum)
{
    write_one(ZIP_STORED);
    zip.bytes[zip.members[0].packed + SIX_BYTES - 1] ^= 1;
    source_check_refused(write_zip(), &NAMED, NB_ERR_SOURCE,
                         "t.npz: e: checksum is");
}
END_TEST

/* Sizes of deflated members that do not fit their bytes. */
START_TEST(deflated_sizes)
{
    uint8_t header[NPY_WRITTEN_BYTES + 32];
    size_t n = NPY_WRITTEN_BYTES + 24;
    static const struct {
        size_t rows; /* that the array claims, of 8 bytes each */
        int packed;  /* bytes added */
        const char *words;
    } cases[] = {
        {4, 0, "152 of 160 unpacked: ends early"},
        {2, 0, "144 of 144 unpacked: more follows"},
        {3, -1, "unpacked: ends early"},
        {3, 1, "152 of 152 unpacked: more follows"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        zip_file_free(&zip);
        memset(&zip, 0, sizeof(zip));
        npy_header_write("<f4", cases[i].rows, 2, header);
        memcpy(header + NPY_WRITTEN_BYTES, SIX, 24);
        zip_file_add(&zip, "e.npy", ZIP_DEFLATED, header, n);
        zip_file_add(&zip, "pad", ZIP_STORED, "pad", 3);
        zip.members[0].bytes = NPY_WRITTEN_BYTES + 8 * cases[i].rows;
        zip.members[0].packed_bytes += (size_t)cases[i].packed;
        zip_file_end(&zip, "");
        source_check_refused(write_zip(), &NAMED, NB_ERR_SOURCE,
                             cases[i].words);
    }
    write_one(ZIP_DEFLATED);
    put_u32(zip.bytes + zip.members[0].entry + 24, 0x7fffffff);
    source_check_refused(write_zip(), &NAMED, NB_ERR_SOURCE,
                         "impossible offset or sizes");
}
END_TEST

/* Any byte of the packed data changed: an error, or the checksum's. */
START_TEST(damaged)
{
    write_one(ZIP_DEFLATED);
    for (size_t i = 0; i < zip.members[0].packed_bytes; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t *byte = zip.bytes + zip.members[0].packed + i;
            *byte ^= (uint8_t)(1u << bit);
            struct nb_errctx err;
            struct source *source = NULL;
            float row[64];
            size_t n_rows = 1;
            int rv = source_open(write_zip(), &NAMED, &source, &err);
            while (rv == 0 && n_rows > 0) {
                rv = source_dim(source) <= 64
                         ? source_read(source, row, 1, &n_rows, &err)
                         : NB_ERR_SOURCE;
            }
            source_close(source);
            bool padding = i + 1 == zip.members[0].packed_bytes;
            ck_assert_msg(rv == NB_ERR_SOURCE || rv == NB_ERR_UNSUPPORTED ||
                              (rv == 0 && padding),
                          "byte %zu, bit %u: %d", i, bit, rv);
            *byte ^= (uint8_t)(1u << bit);
        }
    }
}
END_TEST

START_TEST(cut_files)
{
    for (unsigned method = 0; method <= 8; method += 8) {
        write_one(method);
        for (size_t cut = 0; cut < zip.n; cut++) {
            source_check_refused(scratch_write("c.npz", zip.bytes, cut), &NAMED,
                                 NB_ERR_SOURCE, "c.npz: zip, offset ");
        }
    }
}
END_TEST

START_TEST(large_directories)
{
    /* A hole of a directory, and its end. */
    uint8_t end[22 + 20 + 56] = {0};
    uint64_t bytes = ZIP_DIRECTORY_MAX + 46;
    put_u32(end, 0x06064b50);
    put_u64(end + 24, 1);
    put_u64(end + 32, 1);
    put_u64(end + 40, bytes);
    put_u32(end + 56, 0x07064b50);
    put_u64(end + 56 + 8, bytes);
    put_u32(end + 56 + 16, 1);
    put_u32(end + 76, 0x06054b50);
    const char *path = scratch_path("t.npz");
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, (long)bytes, SEEK_SET), 0);
    ck_assert_uint_eq(fwrite(end, sizeof(end), 1, file), 1);
    ck_assert_int_eq(fclose(file), 0);
    source_check_refused(path, &NAMED, NB_ERR_TOO_LARGE,
                         "the limit is 67108864");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("source_npz");
    TCase *tests = tcase_create("npz");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, methods);
    tcase_add_test(tests, zip64_and_comment);
    tcase_add_test(tests, several_arrays);
    tcase_add_test(tests, no_arrays);
    tcase_add_test(tests, same_name);
    tcase_add_test(tests, long_arrays);
    tcase_add_test(tests, no_rows);
    tcase_add_test(tests, end_records);
    tcase_add_test(tests, zip64_end_records);
    tcase_add_test(tests, directory_entries);
    tcase_add_test(tests, local_headers);
    tcase_add_test(tests, checksum);
    tcase_add_test(tests, deflated_sizes);
    tcase_add_test(tests, damaged);
    tcase_add_test(tests, cut_files);
    tcase_add_test(tests, large_directories);
    suite_add_tcase(suite, tests);
    return suite;
}
