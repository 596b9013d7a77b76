/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Tables with a column transform, in every codec: rows are those of the same
 * table without one, transformed as storage/FORMAT.md says, bit for bit; bags
 * are the same bits whatever kernels made them, and near what plain evaluation
 * in double gives.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "quant/batch.h"
#include "quant/bytes.h"
#include "quant/codec/codec.h"
#include "quant/half.h"
#include "quant/window.h"
#include "tests/lib/kernel_checks.h"
#include "tests/lib/pool_parts.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"

#define N_ROWS  ((size_t)61)
#define MAX_IDS ((size_t)900)
#define N_BAGS  40
#define MAX_DIM 300

static const uint32_t dims[] = {1, 7, 16, 50, 257, MAX_DIM};
#define N_DIMS (sizeof(dims) / sizeof(dims[0]))

static struct rng rng;
static float x[N_ROWS * MAX_DIM];
static float mean[MAX_DIM];
static float scale[MAX_DIM];
static uint8_t memory[N_ROWS * (MAX_DIM * 4 + 32)];
static float z[N_ROWS * MAX_DIM];
static double span[N_ROWS]; /* greatest |z| of each row */
static uint64_t ids[MAX_IDS];
static float weights[MAX_IDS];
static uint32_t lengths[N_BAGS];
static uint8_t out[2][MAX_IDS * MAX_DIM * sizeof(float)];

static void start(void)
{
    rng.state = kernel_checks_seed();
}

/* ---- tables and requests --------------------------------------------- */

struct fixture {
    struct nb_params params;
    struct nb_rows rows;
};

static float centered_unit(void)
{
    return (float)(rng_unit(&rng) * 2 - 1);
}

/* False if the codec needs more than columns. */
static bool make_table(struct fixture *table, const char *codec, uint32_t dim,
                       bool scaled)
{
    struct nb_format format = {.dim = dim};
    struct nb_codec_traits traits;
    ck_assert_int_eq(nb_codec_by_name(codec, &format.codec), 0);
    ck_assert_int_eq(nb_codec_traits(format.codec, &traits), 0);
    format.scales = traits.scales;
    for (uint32_t j = 0; j < dim; j++) {
        mean[j] = 8 * centered_unit();
        scale[j] =
            ldexpf(1 + (float)rng_unit(&rng), (int)rng_below(&rng, 12) - 8);
    }
    for (size_t i = 0; i < (size_t)N_ROWS * dim; i++) {
        x[i] = mean[i % dim] + scale[i % dim] * centered_unit();
    }
    table->params = (struct nb_params){.column_mean = mean,
                                       .column_scale = scaled ? scale : NULL};
    size_t bytes;
    ck_assert_int_eq(nb_row_bytes(&format, &bytes), 0);
    table->rows = (struct nb_rows){.format = format,
                                   .base = memory,
                                   .n_rows = N_ROWS,
                                   .stride = bytes + 3,
                                   .params = &table->params};
    if (codec_check_params(&format, &table->params, NULL) != 0) {
        return false;
    }
    memset(memory, 0xa5, sizeof(memory));
    ck_assert_int_eq(nb_encode(&format, &table->params, 0, x, N_ROWS, memory,
                               table->rows.stride),
                     0);
    return true;
}

static size_t make_bags(bool absent)
{
    size_t n = 0;
    for (size_t b = 0; b < N_BAGS; b++) {
        uint64_t kind = rng_below(&rng, 10);
        uint64_t length = kind == 0 ? 400 : rng_below(&rng, 12);
        length = n + length > MAX_IDS ? 0 : length;
        lengths[b] = (uint32_t)length;
        n += length;
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = rng_below(&rng, absent ? N_ROWS + 9 : N_ROWS);
        weights[i] = 2 * centered_unit();
    }
    return n;
}

/* ---- rows ------------------------------------------------------------ */

static float transformed(const struct fixture *table, const float *row,
                         uint32_t j)
{
    float value = row[j];
    if (table->params.column_scale != NULL) {
        value = table->params.column_scale[j] * value;
    }
    return value + mean[j];
}

static uint32_t bits_of(float value, uint32_t dtype)
{
    switch (dtype) {
    case NB_FP32:
        return float_bits(value);
    case NB_FP16:
        return half_from_float(value);
    default:
        return bf16_from_float(value);
    }
}

static uint32_t bits_at(const uint8_t *at, uint32_t dtype)
{
    return dtype == NB_FP32 ? get_u32(at) : get_u16(at);
}

static void check_rows(const struct fixture *table, uint32_t dtype)
{
    uint32_t dim = table->rows.format.dim;
    size_t bytes = nb_dtype_bytes(dtype);
    struct nb_rows plain = table->rows;
    struct nb_lookup lookup = {.ids = {.u64 = ids, .n = make_bags(true)},
                               .dtype = dtype};
    uint64_t unseen;
    plain.params = NULL;
    ck_assert_int_eq(nb_decode(&plain, 0, N_ROWS, NB_FP32, z), 0);
    for (size_t i = 0; i < N_ROWS; i++) {
        span[i] = 0;
        for (uint32_t j = 0; j < dim; j++) {
            span[i] = fmax(span[i], fabs((double)z[i * dim + j]));
        }
    }
    ck_assert_int_eq(nb_lookup(&table->rows, &lookup, out[0], &unseen), 0);
    for (size_t i = 0; i < lookup.ids.n; i++) {
        const uint8_t *row = out[0] + i * dim * bytes;
        for (uint32_t j = 0; j < dim; j++) {
            float want =
                ids[i] < N_ROWS ? transformed(table, z + ids[i] * dim, j) : 0;
            ck_assert_msg(bits_at(row + j * bytes, dtype) ==
                              bits_of(want, dtype),
                          "codec %u, dim %u, dtype %u, id %zu, column %u",
                          table->rows.format.codec, dim, dtype, i, j);
        }
    }
}

/* ---- bags ------------------------------------------------------------ */

/* In double; *size is the sum of the sizes of what is added. A row's bias is
 * as large as its values. */
static double plainly(const struct fixture *table, const struct nb_pool *pool,
                      size_t first, size_t b, uint32_t j, double *size)
{
    uint32_t dim = table->rows.format.dim;
    double sum = 0;
    double most = -INFINITY;
    *size = 0;
    for (size_t i = first; i < first + lengths[b]; i++) {
        if (ids[i] >= N_ROWS) {
            continue;
        }
        double s = table->params.column_scale != NULL ? (double)scale[j] : 1;
        double w = pool->weights != NULL ? (double)weights[i] : 1;
        double a = s * (double)z[ids[i] * dim + j];
        sum += w * (a + (double)mean[j]);
        *size += fabs(w) * (3 * s * span[ids[i]] + fabs((double)mean[j]));
        most = fmax(most, a + (double)mean[j]);
    }
    if (pool->pooling == NB_MAX) {
        return isinf(most) ? 0 : most;
    }
    double divisor =
        pool->pooling == NB_MEAN && lengths[b] > 0 ? lengths[b] : 1;
    *size /= divisor;
    return sum / divisor;
}

static void check_near(const struct fixture *table, const struct nb_pool *pool)
{
    uint32_t dim = table->rows.format.dim;
    size_t first = 0;
    for (size_t b = 0; b < N_BAGS; b++) {
        for (uint32_t j = 0; j < dim; j++) {
            double size;
            double want = plainly(table, pool, first, b, j, &size);
            double got = (double)get_f32(out[0] + (b * dim + j) * 4);
            ck_assert_msg(fabs(got - want) <= 1e-30 + size * 1e-5,
                          "codec %u, dim %u, pooling %u, bag %zu of %u, column "
                          "%u: %g, not %g",
                          table->rows.format.codec, dim, pool->pooling, b,
                          lengths[b], j, got, want);
        }
        first += lengths[b];
    }
}

static const struct kernel *scalar_kernel(enum kernel_op op, uint32_t codec)
{
    const struct kernel *kernel;
    for (size_t i = 0; (kernel = kernel_at(i)) != NULL; i++) {
        if (kernel->op == op && kernel->codec == codec &&
            kernel->isa == ISA_SCALAR) {
            return kernel;
        }
    }
    return NULL;
}

static void check_bags(const struct fixture *table, uint32_t pooling,
                       bool weighted, uint32_t dtype)
{
    size_t n = make_bags(true);
    const struct nb_pool pool = {.ids = {.u64 = ids, .n = n},
                                 .lengths = lengths,
                                 .n_bags = N_BAGS,
                                 .weights = weighted ? weights : NULL,
                                 .pooling = pooling,
                                 .dtype = dtype};
    const struct kernel *scalar = scalar_kernel(
        pooling == NB_MAX ? KERNEL_max : KERNEL_sum, table->rows.format.codec);
    size_t bytes =
        (size_t)N_BAGS * table->rows.format.dim * nb_dtype_bytes(dtype);
    uint64_t unseen[2];
    out[0][bytes] = 0x5a;
    ck_assert_int_eq(nb_pool(&table->rows, &pool, out[0], &unseen[0]), 0);
    ck_assert_int_eq(
        batch_pool(scalar, &table->rows, &pool, out[1], &unseen[1]), 0);
    ck_assert_uint_eq(unseen[0], unseen[1]);
    ck_assert_mem_eq(out[0], out[1], bytes);
    ck_assert_uint_eq(out[0][bytes], 0x5a);
    pool_parts_check(&table->rows, &pool, out[0], unseen[0], &rng);
    if (dtype == NB_FP32) {
        check_near(table, &pool);
    }
}

START_TEST(as_specified)
{
    const char *codec;
    for (size_t c = 0; (codec = nb_codec_at(c)) != NULL; c++) {
        for (int scaled = 0; scaled < 2; scaled++) {
            struct fixture table;
            if (!make_table(&table, codec, dims[_i], scaled != 0)) {
                continue;
            }
            for (uint32_t dtype = NB_FP32; dtype <= NB_BF16; dtype++) {
                check_rows(&table, dtype);
            }
            uint32_t narrow = scaled != 0 ? NB_FP16 : NB_BF16;
            check_bags(&table, NB_SUM, false, NB_FP32);
            check_bags(&table, NB_SUM, true, NB_FP32);
            check_bags(&table, NB_SUM, true, narrow);
            check_bags(&table, NB_MEAN, false, NB_FP32);
            check_bags(&table, NB_MEAN, true, narrow);
            check_bags(&table, NB_MAX, false, NB_FP32);
        }
    }
}
END_TEST

/* A bag of one row is that row, whatever the pooling. */
START_TEST(bags_of_one)
{
    static float rows[N_ROWS * MAX_DIM];
    static uint32_t ones[N_ROWS];
    struct fixture table;
    ck_assert(make_table(&table, "q4", dims[_i], true));
    ck_assert_int_eq(nb_decode(&table.rows, 0, N_ROWS, NB_FP32, rows), 0);
    for (size_t i = 0; i < N_ROWS; i++) {
        ids[i] = i;
        ones[i] = 1;
    }
    for (uint32_t pooling = NB_MEAN; pooling <= NB_MAX; pooling++) {
        const struct nb_pool pool = {.ids = {.u64 = ids, .n = N_ROWS},
                                     .lengths = ones,
                                     .n_bags = N_ROWS,
                                     .pooling = pooling};
        uint64_t unseen;
        ck_assert_int_eq(nb_pool(&table.rows, &pool, out[0], &unseen), 0);
        if (pooling == NB_MAX) {
            ck_assert_mem_eq(out[0], rows, N_ROWS * dims[_i] * sizeof(float));
        }
    }
}
END_TEST

/* What is packed and decoded elsewhere is what a lookup gives; zeros too. */
START_TEST(packed_and_decoded)
{
    const char *codec;
    for (size_t c = 0; (codec = nb_codec_at(c)) != NULL; c++) {
        struct fixture table;
        uint64_t unseen;
        size_t bytes;
        if (!make_table(&table, codec, dims[_i], true)) {
            continue;
        }
        /* Rows that are their columns' means are stored as zeros. */
        memcpy(x, mean, dims[_i] * sizeof(float));
        ck_assert_int_eq(nb_encode(&table.rows.format, &table.params, 0, x, 1,
                                   memory, table.rows.stride),
                         0);
        ck_assert_int_eq(nb_row_bytes(&table.rows.format, &bytes), 0);
        struct nb_lookup lookup = {.ids = {.u64 = ids, .n = make_bags(true)},
                                   .dtype = NB_PACKED};
        static uint8_t packed[MAX_IDS * (MAX_DIM * 4 + 32)];
        ids[0] = 0;
        ck_assert_int_eq(nb_lookup(&table.rows, &lookup, packed, &unseen), 0);
        lookup.dtype = NB_FP32;
        ck_assert_int_eq(nb_lookup(&table.rows, &lookup, out[0], &unseen), 0);
        struct nb_rows there = table.rows;
        there.base = packed;
        there.n_rows = lookup.ids.n;
        there.stride = bytes;
        ck_assert_int_eq(nb_decode(&there, 0, lookup.ids.n, NB_FP32, out[1]),
                         0);
        ck_assert_mem_eq(out[0], out[1],
                         lookup.ids.n * dims[_i] * sizeof(float));
        for (uint32_t j = 0; j < dims[_i]; j++) {
            ck_assert_msg(get_f32(out[0] + sizeof(float) * j) == mean[j],
                          "codec %s", codec);
        }
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("columns");
    TCase *tcase = tcase_create("against the specification");

    tcase_set_timeout(tcase, 180);
    tcase_add_unchecked_fixture(tcase, start, NULL);
    tcase_add_loop_test(tcase, as_specified, 0, N_DIMS);
    tcase_add_loop_test(tcase, bags_of_one, 0, N_DIMS);
    tcase_add_loop_test(tcase, packed_and_decoded, 0, N_DIMS);
    suite_add_tcase(suite, tcase);
    return suite;
}
