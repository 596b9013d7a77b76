/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/half.h"
#include "storage/source/npy_header.h"
#include "storage/builder/table_builder.h"
#include "storage/export/table_export.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/source_checks.h"

#define DIM_MAX 4

/* Rows that FBGEMM packed, and what their codes mean. */
struct golden {
    const char *format;
    size_t n;
    uint32_t dim;
    uint16_t scale; /* fp16, as is the bias */
    uint16_t bias;
    uint8_t codes[DIM_MAX];
    uint8_t row[10];
};

static const struct golden GOLDEN[] = {
    {"fbgemm", 6, 4, 0x3c00, 0, {0, 1, 2, 15}, {0x10, 0xf2, 0, 0x3c, 0, 0}},
    {"fbgemm-tbe", 6, 4, 0x3c00, 0, {0, 1, 2, 15}, {0, 0x3c, 0, 0, 0x10, 0xf2}},
    {"fbgemm",
     6,
     3,
     0x3044,
     0xbc00,
     {0, 8, 15},
     {0x80, 0x0f, 0x44, 0x30, 0, 0xbc}},
    {"fbgemm-tbe",
     6,
     3,
     0x3044,
     0xbc00,
     {0, 8, 15},
     {0x44, 0x30, 0, 0xbc, 0x80, 0x0f}},
    {"fbgemm",
     6,
     4,
     0x8037,
     0x34cd,
     {15, 15, 15, 15},
     {0xff, 0xff, 0x37, 0x80, 0xcd, 0x34}},
    {"fbgemm-tbe",
     6,
     4,
     0x8037,
     0x34cd,
     {15, 15, 15, 15},
     {0x37, 0x80, 0xcd, 0x34, 0xff, 0xff}},
    {"fbgemm8-half", 6, 2, 0x3c00, 0, {0, 255}, {0, 0xff, 0, 0x3c, 0, 0}},
    {"fbgemm8-tbe", 6, 2, 0x3c00, 0, {0, 255}, {0, 0x3c, 0, 0, 0, 0xff}},
    {"fbgemm8",
     10,
     2,
     0x3c00,
     0,
     {0, 255},
     {0, 0xff, 0, 0, 0x80, 0x3f, 0, 0, 0, 0}},
};

#define N_GOLDEN (sizeof(GOLDEN) / sizeof(GOLDEN[0]))

/* Rows as an .npy array of bytes. */
static const char *write_npy(const char *descr, const uint8_t *rows,
                             size_t n_rows, size_t row_bytes)
{
    uint8_t bytes[NPY_WRITTEN_BYTES + 512];
    ck_assert_uint_le(n_rows * row_bytes, 512);
    npy_header_write(descr, n_rows, row_bytes, bytes);
    memcpy(bytes + NPY_WRITTEN_BYTES, rows, n_rows * row_bytes);
    return scratch_write("t.npy", bytes,
                         NPY_WRITTEN_BYTES + n_rows * row_bytes);
}

START_TEST(golden_rows)
{
    const struct golden *golden = &GOLDEN[_i];
    float values[3 * DIM_MAX];
    uint8_t rows[3 * sizeof(golden->row)];
    for (size_t row = 0; row < 3; row++) {
        memcpy(rows + row * golden->n, golden->row, golden->n);
        for (uint32_t i = 0; i < golden->dim; i++) {
            values[row * golden->dim + i] =
                half_to_float(golden->scale) * (float)golden->codes[i] +
                half_to_float(golden->bias);
        }
    }
    const struct source_options options = {.format = golden->format,
                                           .dim = golden->dim};
    source_check_rows(scratch_write("t.bin", rows, 3 * golden->n), &options,
                      golden->format, values, 3, golden->dim);
    source_check_rows(write_npy("|u1", rows, 3, golden->n), &options,
                      golden->format, values, 3, golden->dim);
    if (golden->dim % 2 == 0) { /* an odd dim must be named */
        source_check_rows(scratch_path("t.npy"),
                          &(struct source_options){.format = golden->format},
                          golden->format, values, 3, golden->dim);
    }
}
END_TEST

/* Quantizes rows of fbgemm with asym: exported, they are the same bytes. */
static void assert_exported(const uint8_t *rows, size_t n_bytes, uint32_t dim,
                            const char *input)
{
    const struct build_options options = {
        .input = input,
        .source = {.format = "fbgemm", .dim = dim},
        .output = scratch_path("t.nbt"),
        .codec = "q4",
        .search = "asym",
    };
    struct nb_errctx err;
    struct build_report report;
    struct table *table;
    int rv = table_build(&options, &report, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert_int_eq(
        table_open(options.output, TABLE_VERIFY_FULL, &table, &err), 0);
    const char *exported = scratch_path("exported.npy");
    ck_assert_int_eq(table_export(table, "fbgemm", exported, &err), 0);
    table_close(table);
    size_t n;
    uint8_t *bytes = scratch_read(exported, &n);
    ck_assert_uint_eq(n, NPY_WRITTEN_BYTES + n_bytes);
    size_t row_bytes = (dim + 1) / 2 + 4;
    for (size_t at = 0; at < n_bytes; at += row_bytes) {
        ck_assert_mem_eq(bytes + NPY_WRITTEN_BYTES + at, rows + at, row_bytes);
    }
    free(bytes);
}

/* Rows of FBGEMM come back byte for byte: asym finds the same scale and bias.
 */
START_TEST(round_trip)
{
    for (size_t i = 0; i < N_GOLDEN; i++) {
        const struct golden *golden = &GOLDEN[i];
        if (strcmp(golden->format, "fbgemm") != 0) {
            continue;
        }
        assert_exported(golden->row, golden->n, golden->dim,
                        scratch_write("t.bin", golden->row, golden->n));
        /* What was exported is read again. */
        assert_exported(golden->row, golden->n, golden->dim,
                        scratch_path("exported.npy"));
    }
}
END_TEST

/* Any positive scale, subnormal ones too, and a bias up to 60,000 times it. */
START_TEST(random_round_trip)
{
    enum {
        N_ROWS = 5000,
        ROW_BYTES = 8 + 4
    };
    static uint8_t rows[N_ROWS * ROW_BYTES];
    struct rng rng = {11};
    for (size_t i = 0; i < N_ROWS; i++) {
        uint8_t *row = rows + i * ROW_BYTES;
        uint16_t scale = (uint16_t)(1 + rng_below(&rng, 0x6000));
        float limit = fminf(60000 * half_to_float(scale), 30000);
        float bias = (float)(2 * rng_unit(&rng) - 1) * limit;
        put_u16(row + 8, scale);
        put_u16(row + 10, half_from_float(bias * 0.999f));
        for (size_t j = 0; j < 8; j++) {
            row[j] = (uint8_t)rng_below(&rng, 256);
        }
        row[rng_below(&rng, 8)] = 0x0f; /* 15, then 0 */
    }
    assert_exported(rows, sizeof(rows), 16,
                    scratch_write("t.bin", rows, sizeof(rows)));
}
END_TEST

/* Rounded once, as fused multiply-adds do, and not twice. */
START_TEST(arithmetic)
{
    uint8_t row[12] = {3, 255, 0, 7};
    const float scale = 0.1f;
    const float bias = -0.7f;
    float values[4];
    memcpy(row + 4, &scale, 4);
    memcpy(row + 8, &bias, 4);
    bool differs = false;
    for (size_t i = 0; i < 4; i++) {
        values[i] = fmaf(scale, (float)row[i], bias);
        volatile float product = scale * (float)row[i];
        differs = differs || values[i] != product + bias;
    }
    ck_assert(differs);
    source_check_rows(scratch_write("t.bin", row, sizeof(row)),
                      &(struct source_options){.format = "fbgemm8", .dim = 4},
                      "fbgemm8", values, 1, 4);
}
END_TEST

/* More rows than are read at once, and rows longer than that. */
START_TEST(blocks)
{
    static const uint32_t dims[] = {1, 127, 65535, NB_DIM_MAX};
    for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++) {
        uint32_t dim = dims[d];
        size_t n_rows = dim < 1000 ? 20000 : 3;
        size_t row_bytes = dim + 4;
        uint8_t *rows = malloc(n_rows * row_bytes);
        float *values = malloc(n_rows * dim * sizeof(float));
        for (size_t row = 0; row < n_rows; row++) {
            uint8_t *at = rows + row * row_bytes;
            put_u16(at + dim, 0x3c00);     /* 1 */
            put_u16(at + dim + 2, 0xbc00); /* -1 */
            for (uint32_t i = 0; i < dim; i++) {
                at[i] = (uint8_t)(row * 7 + i);
                values[row * dim + i] = (float)at[i] - 1;
            }
        }
        const struct source_options options = {.format = "fbgemm8-half",
                                               .dim = dim};
        source_check_rows(scratch_write("t.bin", rows, n_rows * row_bytes),
                          &options, "fbgemm8-half", values, n_rows, dim);
        free(values);
        free(rows);
    }
}
END_TEST

/* Tables of TBE pad their rows, on GPUs to 16 bytes. */
START_TEST(padded_rows)
{
    const uint8_t rows[2][16] = {{0, 0x3c, 0, 0, 0x10, 0xf2},
                                 {0, 0x3c, 0, 0, 0x32, 0x04}};
    const float values[8] = {0, 1, 2, 15, 2, 3, 4, 0};
    const char *path = write_npy("|u1", rows[0], 2, 16);
    source_check_rows(
        path, &(struct source_options){.format = "fbgemm-tbe", .dim = 4},
        "fbgemm-tbe", values, 2, 4);
    source_check_refused(
        path, &(struct source_options){.format = "fbgemm-tbe", .dim = 25},
        NB_ERR_INVALID, "17 bytes, these are 16");
    source_check_refused(
        path, &(struct source_options){.format = "fbgemm", .dim = 4},
        NB_ERR_INVALID, "fbgemm rows of 4 values are 6 bytes, these are 16");
}
END_TEST

START_TEST(refused)
{
    const uint8_t zeros[64] = {0};
    const struct source_options any = {.format = "fbgemm"};
    const struct source_options four = {.format = "fbgemm", .dim = 4};
    const struct source_options eight = {.format = "fbgemm8"};
    source_check_refused(scratch_write("t.bin", zeros, 12), &any,
                         NB_ERR_INVALID, "dim must be given");
    source_check_refused(scratch_write("t.bin", zeros, 13), &four,
                         NB_ERR_SOURCE, "13 bytes are not whole fbgemm rows");
    source_check_refused(write_npy("|u1", zeros, 2, 4), &any,
                         NB_ERR_UNSUPPORTED, "rows of 4 bytes are not fbgemm");
    source_check_refused(write_npy("|u1", zeros, 2, 8), &eight,
                         NB_ERR_UNSUPPORTED, "rows of 8 bytes");
    source_check_refused(write_npy("|u1", zeros, 2, 7), &four, NB_ERR_INVALID,
                         "are 6 bytes, these are 7");
    source_check_refused(write_npy("<f4", zeros, 2, 8), &any,
                         NB_ERR_UNSUPPORTED, "'<f4'; fused rows are bytes");
    source_check_refused(write_npy("|i1", zeros, 2, 8), &any,
                         NB_ERR_UNSUPPORTED, "fused rows are bytes");
    source_check_refused(write_npy("|u1", zeros, 2, 8),
                         &(struct source_options){0}, NB_ERR_UNSUPPORTED,
                         "fused rows if their format is named");
}
END_TEST

/* Arrays that are not what their header says, or too wide. */
START_TEST(wrong_arrays)
{
    uint8_t bytes[NPY_WRITTEN_BYTES + 12] = {0};
    const struct source_options any = {.format = "fbgemm"};
    npy_header_write("|u1", 2, 7, bytes);
    source_check_refused(scratch_write("t.npy", bytes, sizeof(bytes)), &any,
                         NB_ERR_SOURCE, "2 x 7 values of 1 bytes");
    npy_header_write("|u1", UINT64_C(1) << 63, 6, bytes);
    source_check_refused(scratch_write("t.npy", bytes, sizeof(bytes)), &any,
                         NB_ERR_SOURCE, "file has 12 bytes of data");
    npy_header_write("|u1", 0, 131072, bytes);
    source_check_refused(scratch_write("t.npy", bytes, NPY_WRITTEN_BYTES), &any,
                         NB_ERR_UNSUPPORTED, "rows of 131072 bytes");
    npy_header_write("|u1", 0, NB_DIM_MAX / 2 + 5, bytes);
    source_check_refused(scratch_write("t.npy", bytes, NPY_WRITTEN_BYTES), &any,
                         NB_ERR_UNSUPPORTED, "65538 values");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("source_fbgemm");
    TCase *tests = tcase_create("fbgemm");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_loop_test(tests, golden_rows, 0, (int)N_GOLDEN);
    tcase_add_test(tests, round_trip);
    tcase_add_test(tests, random_round_trip);
    tcase_add_test(tests, arithmetic);
    tcase_add_test(tests, blocks);
    tcase_add_test(tests, padded_rows);
    tcase_add_test(tests, refused);
    tcase_add_test(tests, wrong_arrays);
    suite_add_tcase(suite, tests);
    return suite;
}
