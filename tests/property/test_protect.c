/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Tables with protected rows, in every codec. What they must give is taken from
 * a table without any that holds the residual rows as rows of its own: a bag
 * names them one after the other.
 */
#include <math.h>
#include <string.h>

#include "quant/codec/codec.h"
#include "quant/half.h"
#include "quant/protect.h"
#include "tests/lib/kernel_checks.h"
#include "tests/lib/pool_parts.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"

#define N_ROWS   ((size_t)1000) /* three blocks */
#define N_BLOCKS ((size_t)3)
#define MAX_IDS  ((size_t)2000)
#define MAX_DIM  300
#define MAX_ROW  (4 * MAX_DIM + 8)
#define N_BAGS   60

static const uint32_t dims[] = {1, 7, 50, 64, MAX_DIM};
#define N_DIMS (sizeof(dims) / sizeof(dims[0]))

static struct rng rng;
static float x[2 * N_ROWS * MAX_DIM];
static float mean[MAX_DIM];
static float scale[MAX_DIM];
static float levels[16 * 64];
static uint8_t memory[2 * N_ROWS * MAX_ROW];
static struct nb_protected_block blocks[N_BLOCKS];
static struct nb_protected protect;
static struct nb_params params; /* codebooks */
static struct nb_params transformed;
static struct nb_rows rows;  /* with protected ones */
static struct nb_rows plain; /* the same, and the residual rows behind them */
static uint64_t residual_of[N_ROWS]; /* in `plain`; 0 for none */
static uint64_t ids[MAX_IDS];
static float weights[MAX_IDS];
static uint32_t lengths[N_BAGS];
static uint64_t plain_ids[2 * MAX_IDS];
static float plain_weights[2 * MAX_IDS];
static uint32_t plain_lengths[N_BAGS];
static float got[MAX_IDS * MAX_DIM];
static float expected[MAX_IDS * MAX_DIM];
static uint64_t one_of; /* so many rows is protected */

static void start(void)
{
    rng.state = kernel_checks_seed();
    one_of = 10;
}

static float centered_unit(void)
{
    return (float)(rng_unit(&rng) * 2 - 1);
}

/* ---- tables ---------------------------------------------------------- */

/* Codebooks of random levels, ascending, as many as the codec usually has. */
static void make_codebooks(const struct nb_format *format)
{
    const struct codec_trained *trained = codec_by_id(format->codec)->trained;
    params = (struct nb_params){0};
    if (trained == NULL) {
        return;
    }
    params.n_codebooks =
        trained->usual_codebooks > 0 ? trained->usual_codebooks : 3;
    params.n_levels = trained->n_levels;
    params.codebooks = levels;
    for (size_t b = 0; b < params.n_codebooks; b++) {
        for (size_t k = 0; k < params.n_levels; k++) {
            levels[b * params.n_levels + k] =
                ((float)k + (float)rng_unit(&rng)) * 4 /
                    (float)params.n_levels -
                2;
        }
    }
}

/* One of `one_of` rows, and the ends; the residuals are encoded rows, of
 * anything. */
static void make_protected(size_t row_bytes)
{
    uint64_t n = 0;
    memset(blocks, 0, sizeof(blocks));
    memset(residual_of, 0, sizeof(residual_of));
    for (size_t i = 0; i < N_ROWS; i++) {
        struct nb_protected_block *block = &blocks[i / NB_PROTECTED_ROWS];
        size_t bit = i % NB_PROTECTED_ROWS;
        block->before = bit == 0 ? n : block->before;
        if (rng_below(&rng, one_of) == 0 || i == 0 || i == N_ROWS - 1) {
            block->bits[bit / 64] |= UINT64_C(1) << (bit % 64);
            residual_of[i] = N_ROWS + n++;
        }
    }
    protect = (struct nb_protected){.blocks = blocks,
                                    .residuals = memory + N_ROWS * row_bytes,
                                    .n = n,
                                    .stride = row_bytes};
}

static void make_table(uint32_t codec, uint32_t dim)
{
    struct nb_format format = {.codec = codec, .dim = dim};
    struct nb_codec_traits traits;
    size_t row_bytes;
    ck_assert_int_eq(nb_codec_traits(codec, &traits), 0);
    format.scales = traits.scales;
    ck_assert_int_eq(nb_row_bytes(&format, &row_bytes), 0);
    make_codebooks(&format);
    for (size_t i = 0; i < 2 * N_ROWS * dim; i++) {
        x[i] = (i < N_ROWS * dim ? 1 : 0.1f) * centered_unit();
    }
    const struct nb_params *codebooks = params.n_codebooks > 0 ? &params : NULL;
    ck_assert_int_eq(
        nb_encode(&format, codebooks, 0, x, 2 * N_ROWS, memory, row_bytes), 0);
    make_protected(row_bytes);
    plain = (struct nb_rows){.format = format,
                             .base = memory,
                             .n_rows = N_ROWS + protect.n,
                             .stride = row_bytes,
                             .params = codebooks};
    rows = plain;
    rows.n_rows = N_ROWS;
    rows.protect = &protect;
    struct nb_errctx err;
    ck_assert_msg(nb_protected_check(&protect, N_ROWS, &err) == 0, "%s",
                  err.text);
}

/* The same table with its columns transformed. */
static void transform_columns(bool scaled)
{
    for (uint32_t j = 0; j < rows.format.dim; j++) {
        mean[j] = 8 * centered_unit();
        scale[j] = 1 + (float)rng_unit(&rng);
    }
    transformed = params;
    transformed.column_mean = mean;
    transformed.column_scale = scaled ? scale : NULL;
    rows.params = &transformed;
}

/* ---- bags ------------------------------------------------------------ */

static void name_rows(size_t bag, size_t first, size_t *n)
{
    size_t begin = *n;
    for (size_t i = first; i < first + lengths[bag]; i++) {
        if (ids[i] >= N_ROWS) {
            continue;
        }
        plain_ids[*n] = ids[i];
        plain_weights[(*n)++] = weights[i];
        if (residual_of[ids[i]] != 0) {
            plain_ids[*n] = residual_of[ids[i]];
            plain_weights[(*n)++] = weights[i];
        }
    }
    plain_lengths[bag] = (uint32_t)(*n - begin);
}

/* Ids and weights of bag b, which begins at id n. */
static void fill_bag(size_t b, size_t n, uint64_t length, size_t *n_plain)
{
    lengths[b] = n + length > MAX_IDS ? 0 : (uint32_t)length;
    for (size_t i = n; i < n + lengths[b]; i++) {
        ids[i] = rng_below(&rng, N_ROWS + 9);
        weights[i] = 2 * centered_unit();
    }
    name_rows(b, n, n_plain);
}

/* Bags of a block at most, and the same bags of `plain`. */
static size_t make_bags(uint64_t most, size_t *n_plain)
{
    size_t n = 0;
    *n_plain = 0;
    for (size_t b = 0; b < N_BAGS; b++) {
        uint64_t length = rng_below(&rng, 4) == 0
                              ? most
                              : rng_below(&rng, most < 30 ? most : 30);
        fill_bag(b, n, length, n_plain);
        n += lengths[b];
    }
    return n;
}

/* Bags that fill a block together and then one more, of like lengths. */
static size_t make_like_bags(uint32_t length, size_t *n_plain)
{
    size_t n = 0;
    *n_plain = 0;
    for (size_t b = 0; b < N_BAGS; b++) {
        fill_bag(b, n, b % 3 == 2 ? length * 2 / 3 : length, n_plain);
        n += lengths[b];
    }
    return n;
}

static struct nb_pool make_pool(size_t n, uint32_t pooling, bool weighted)
{
    return (struct nb_pool){.ids = {.u64 = ids, .n = n},
                            .lengths = lengths,
                            .n_bags = N_BAGS,
                            .weights = weighted ? weights : NULL,
                            .pooling = pooling,
                            .dtype = NB_FP32};
}

/* Sums of `plain`, before any column transform. */
static void expect_sums(size_t n_plain, bool weighted)
{
    const struct nb_pool pool = {
        .ids = {.u64 = plain_ids, .n = n_plain},
        .lengths = plain_lengths,
        .n_bags = N_BAGS,
        .weights = weighted ? plain_weights : NULL,
        .pooling = NB_SUM,
        .dtype = NB_FP32,
    };
    uint64_t unseen;
    ck_assert_int_eq(nb_pool(&plain, &pool, expected, &unseen), 0);
    ck_assert_uint_eq(unseen, 0);
}

static float weight_of_bag(size_t bag, bool weighted)
{
    size_t first = 0;
    for (size_t b = 0; b < bag; b++) {
        first += lengths[b];
    }
    double weight = 0;
    for (size_t i = first; i < first + lengths[bag]; i++) {
        if (ids[i] < N_ROWS) {
            weight += weighted ? (double)weights[i] : 1;
        }
    }
    return (float)weight;
}

/* Zeros of either sign are the same; there are no NaNs. */
static void assert_bits(float value, float wanted, size_t bag, uint32_t column)
{
    ck_assert_msg(value == wanted, "bag %zu, column %u: %.9g, not %.9g", bag,
                  column, (double)value, (double)wanted);
}

static void check_bags(size_t n, size_t n_plain, uint32_t pooling,
                       bool weighted)
{
    const struct nb_pool pool = make_pool(n, pooling, weighted);
    const struct nb_params *columns =
        rows.params == &transformed ? &transformed : NULL;
    uint32_t dim = rows.format.dim;
    uint64_t unseen;

    ck_assert_int_eq(nb_pool(&rows, &pool, got, &unseen), 0);
    pool_parts_check(&rows, &pool, got, unseen, &rng);
    expect_sums(n_plain, weighted);
    uint64_t absent = 0;
    for (size_t i = 0; i < n; i++) {
        absent += ids[i] >= N_ROWS;
    }
    ck_assert_uint_eq(unseen, absent);
    for (size_t b = 0; b < N_BAGS; b++) {
        float divisor =
            pooling == NB_MEAN && lengths[b] > 0 ? (float)lengths[b] : 1;
        float shift = weight_of_bag(b, weighted) / divisor;
        for (uint32_t j = 0; j < dim; j++) {
            float wanted = expected[b * dim + j] / divisor;
            if (columns != NULL) {
                wanted = columns->column_scale != NULL
                             ? columns->column_scale[j] * wanted
                             : wanted;
                wanted = wanted + shift * columns->column_mean[j];
            }
            assert_bits(got[b * dim + j], wanted, b, j);
        }
    }
}

static void check_sums(uint32_t pooling, bool weighted)
{
    size_t n_plain;
    size_t n = make_bags(PROTECT_IDS, &n_plain);
    check_bags(n, n_plain, pooling, weighted);
}

START_TEST(sums)
{
    for (uint32_t codec = 1; nb_codec_name(codec) != NULL; codec++) {
        make_table(codec, dims[_i]);
        check_sums(NB_SUM, false);
        check_sums(NB_SUM, true);
        check_sums(NB_MEAN, false);
        check_sums(NB_MEAN, true);
        transform_columns(codec % 2 == 0);
        check_sums(NB_SUM, false);
        check_sums(NB_SUM, true);
        check_sums(NB_MEAN, false);
    }
}
END_TEST

/* The same bags in 16 bits are the sums of check_bags(), rounded. */
static void check_narrow(size_t n, bool weighted)
{
    static uint16_t narrow[N_BAGS * MAX_DIM];
    struct nb_pool pool = make_pool(n, NB_SUM, weighted);
    uint64_t unseen;
    for (pool.dtype = NB_FP16; pool.dtype <= NB_BF16; pool.dtype++) {
        ck_assert_int_eq(nb_pool(&rows, &pool, narrow, &unseen), 0);
        for (size_t i = 0; i < (size_t)N_BAGS * rows.format.dim; i++) {
            uint16_t wanted = pool.dtype == NB_FP16 ? half_from_float(got[i])
                                                    : bf16_from_float(got[i]);
            ck_assert_uint_eq(narrow[i], wanted);
        }
    }
}

/* Every id becomes two rows: as many ids as without would not fit a job. */
START_TEST(all_rows)
{
    static const uint32_t narrow_dims[] = {1, 4, 8, 32, 64};
    one_of = 1;
    make_table(1, narrow_dims[_i]);
    for (uint32_t length = 30; length <= PROTECT_IDS; length += 3) {
        size_t n_plain;
        size_t n = make_like_bags(length, &n_plain);
        bool weighted = length % 2 == 0;
        check_bags(n, n_plain, NB_SUM, weighted);
        check_narrow(n, weighted);
    }
}
END_TEST

/* Of several blocks: near, for the order of plain blocks is another. */
START_TEST(long_bags)
{
    make_table(1, dims[_i]);
    uint32_t dim = dims[_i];
    size_t n_plain;
    size_t n = make_bags(3 * PROTECT_IDS + 5, &n_plain);
    const struct nb_pool pool = make_pool(n, NB_SUM, true);
    uint64_t unseen;
    ck_assert_int_eq(nb_pool(&rows, &pool, got, &unseen), 0);
    expect_sums(n_plain, true);
    for (size_t i = 0; i < (size_t)N_BAGS * dim; i++) {
        ck_assert_double_le((double)fabsf(got[i] - expected[i]), 2e-4);
    }
}
END_TEST

/* ---- rows ------------------------------------------------------------ */

static void assert_rows_are_sums(size_t n, const float *values)
{
    static const uint32_t one = 1;
    uint32_t dim = rows.format.dim;
    float sum[MAX_DIM];
    uint64_t unseen;
    for (size_t i = 0; i < n; i++) {
        const struct nb_pool pool = {.ids = {.u64 = ids + i, .n = 1},
                                     .lengths = &one,
                                     .n_bags = 1,
                                     .dtype = NB_FP32};
        ck_assert_int_eq(nb_pool(&rows, &pool, sum, &unseen), 0);
        ck_assert_mem_eq(sum, values + i * dim, dim * sizeof(float));
    }
}

START_TEST(lookups)
{
    for (uint32_t codec = 1; nb_codec_name(codec) != NULL; codec++) {
        make_table(codec, dims[_i]);
        if (codec % 2 == 0) {
            transform_columns(true);
        }
        size_t n_plain;
        size_t n = make_bags(40, &n_plain);
        struct nb_lookup lookup = {.ids = {.u64 = ids, .n = n},
                                   .dtype = NB_FP32};
        uint64_t unseen;
        ck_assert_int_eq(nb_lookup(&rows, &lookup, got, &unseen), 0);
        assert_rows_are_sums(n, got);
        uint64_t absent = 0;
        for (size_t i = 0; i < n; i++) {
            absent += ids[i] >= N_ROWS;
        }
        ck_assert_uint_eq(unseen, absent);
        ck_assert_int_eq(nb_decode(&rows, 5, 700, NB_FP32, got), 0);
        for (size_t i = 0; i < 700; i++) {
            ids[i] = 5 + i;
        }
        assert_rows_are_sums(700, got);
        lookup.dtype = NB_PACKED;
        ck_assert_int_eq(nb_lookup(&rows, &lookup, got, &unseen),
                         NB_ERR_UNSUPPORTED);
        ck_assert_int_eq(nb_decode(&rows, 0, 1, NB_PACKED, got),
                         NB_ERR_UNSUPPORTED);
    }
}
END_TEST

START_TEST(greatest)
{
    make_table(8, dims[_i]);
    transform_columns(true);
    uint32_t dim = dims[_i];
    size_t n_plain;
    size_t n = make_bags(20, &n_plain);
    const struct nb_pool pool = make_pool(n, NB_MAX, false);
    const struct nb_lookup lookup = {.ids = pool.ids, .dtype = NB_FP32};
    static float values[MAX_IDS * MAX_DIM];
    uint64_t unseen;
    uint64_t unseen_rows;
    ck_assert_int_eq(nb_pool(&rows, &pool, got, &unseen), 0);
    ck_assert_int_eq(nb_lookup(&rows, &lookup, values, &unseen_rows), 0);
    ck_assert_uint_eq(unseen, unseen_rows);
    pool_parts_check(&rows, &pool, got, unseen, &rng);
    size_t first = 0;
    for (size_t b = 0; b < N_BAGS; b++) {
        for (uint32_t j = 0; j < dim; j++) {
            float wanted = -INFINITY;
            for (size_t i = first; i < first + lengths[b]; i++) {
                if (ids[i] < N_ROWS) {
                    wanted = fmaxf(wanted, values[i * dim + j]);
                }
            }
            assert_bits(got[b * dim + j], isinf(wanted) ? 0 : wanted, b, j);
        }
        first += lengths[b];
    }
}
END_TEST

#define LONG ((size_t)5000)
#define FEW  ((size_t)40)

/* Rows so long that few fit at once. */
START_TEST(greatest_of_long_rows)
{
    static float values[2 * FEW * LONG];
    static float greatest_of[LONG];
    static const uint32_t all = FEW;
    const struct nb_protected_block every = {
        .bits = {(UINT64_C(1) << FEW) - 1}};
    const struct nb_protected both = {.blocks = &every,
                                      .residuals = values + FEW * LONG,
                                      .n = FEW,
                                      .stride = LONG * sizeof(float)};
    const struct nb_rows few = {.format = {4, LONG, NB_SCALES_FP32},
                                .base = values,
                                .n_rows = FEW,
                                .stride = both.stride,
                                .protect = &both};
    for (size_t i = 0; i < 2 * FEW * LONG; i++) {
        values[i] = centered_unit();
    }
    for (size_t i = 0; i < FEW; i++) {
        ids[i] = i;
    }
    struct nb_pool pool = make_pool(FEW, NB_MAX, false);
    pool.lengths = &all;
    pool.n_bags = 1;
    uint64_t unseen;
    ck_assert_int_eq(nb_pool(&few, &pool, greatest_of, &unseen), 0);
    for (size_t j = 0; j < LONG; j++) {
        float wanted = -INFINITY;
        for (size_t i = 0; i < FEW; i++) {
            wanted = fmaxf(wanted,
                           values[i * LONG + j] + values[(FEW + i) * LONG + j]);
        }
        ck_assert(greatest_of[j] == wanted);
    }
}
END_TEST

/* ---- policies and checks --------------------------------------------- */

START_TEST(unseen_ids)
{
    static const uint32_t length = 2;
    uint64_t pair[2] = {N_ROWS + 5, 3};
    make_table(1, 7);
    struct nb_pool pool = {.ids = {.u64 = pair, .n = 2},
                           .lengths = &length,
                           .n_bags = 1,
                           .dtype = NB_FP32,
                           .unseen = {NB_UNSEEN_DEFAULT, 0}};
    uint64_t unseen;
    ck_assert_uint_ne(residual_of[0], 0);
    for (uint32_t pooling = NB_SUM; pooling <= NB_MAX; pooling++) {
        pool.pooling = pooling;
        pair[0] = N_ROWS + 5;
        ck_assert_int_eq(nb_pool(&rows, &pool, got, &unseen), 0);
        ck_assert_uint_eq(unseen, 1);
        pair[0] = 0;
        ck_assert_int_eq(nb_pool(&rows, &pool, expected, &unseen), 0);
        ck_assert_mem_eq(got, expected, 7 * sizeof(float));
        pair[0] = N_ROWS;
        pool.unseen.action = NB_UNSEEN_ERROR;
        ck_assert_int_eq(nb_pool(&rows, &pool, got, &unseen), NB_ERR_UNSEEN);
        pool.unseen.action = NB_UNSEEN_DEFAULT;
    }
}
END_TEST

static void assert_refused(const char *why)
{
    struct nb_errctx err;
    ck_assert_int_eq(nb_protected_check(&protect, N_ROWS, &err),
                     NB_ERR_INVALID);
    ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
}

START_TEST(checks)
{
    uint64_t unseen;
    const struct nb_lookup none = {.dtype = NB_FP32};
    make_table(1, 7);
    const size_t past = N_ROWS - (size_t)2 * NB_PROTECTED_ROWS;
    blocks[1].before++;
    assert_refused("block 1 of protected rows says");
    blocks[1].before--;
    blocks[2].bits[past / 64] |= UINT64_C(1) << (past % 64);
    assert_refused("block 2 protects rows past the last");
    blocks[2].bits[past / 64] &= ~(UINT64_C(1) << (past % 64));
    protect.n--;
    assert_refused("residual rows");
    protect.n++;
    ck_assert_int_eq(nb_lookup(&rows, &none, got, &unseen), 0);
    protect.stride--;
    ck_assert_int_eq(nb_lookup(&rows, &none, got, &unseen), NB_ERR_INVALID);
    protect.stride = (size_t)1 << 62;
    ck_assert_int_eq(nb_lookup(&rows, &none, got, &unseen), NB_ERR_INVALID);
    protect.stride = plain.stride;
    protect.blocks = NULL;
    ck_assert_int_eq(nb_lookup(&rows, &none, got, &unseen), NB_ERR_INVALID);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("protect");
    TCase *tests = tcase_create("requests");
    tcase_add_checked_fixture(tests, start, NULL);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, sums, 0, N_DIMS);
    tcase_add_loop_test(tests, all_rows, 0, 5);
    tcase_add_loop_test(tests, long_bags, 0, N_DIMS);
    tcase_add_loop_test(tests, lookups, 0, N_DIMS);
    tcase_add_loop_test(tests, greatest, 0, N_DIMS);
    tcase_add_test(tests, greatest_of_long_rows);
    tcase_add_test(tests, unseen_ids);
    tcase_add_test(tests, checks);
    suite_add_tcase(suite, tests);
    return suite;
}
