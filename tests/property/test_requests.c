/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * nb_pool, nb_lookup and nb_decode on random requests against the arithmetic of
 * storage/FORMAT.md, written down here once more and with nothing shared; and
 * against plain evaluation in double, so that the specification itself is near
 * the truth.
 */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/half.h"
#include "quant/kernel/kernels.h"
#include "quant/window.h"
#include "tests/lib/kernel_checks.h"
#include "tests/lib/pool_parts.h"
#include "tests/lib/rng.h"

#include "tests/lib/run_suite.h"

#define N_ROWS   97
#define MAX_IDS  4000
#define MAX_BAGS 1500
#define MAX_DIM  700

static const uint32_t dims[] = {1,  7,   8,   31,  50,     56,
                                64, 120, 128, 300, MAX_DIM};
#define N_DIMS (sizeof(dims) / sizeof(dims[0]))

static struct rng rng;
static uint8_t memory[N_ROWS * (MAX_DIM / 2 + 32)];
static uint64_t ids[MAX_IDS];
static uint32_t ids32[MAX_IDS];
static float weights[MAX_IDS];
static uint32_t lengths[MAX_BAGS];
static uint8_t out[sizeof(float) * (MAX_IDS + 1) * MAX_DIM];

static void start(void)
{
    rng.state = kernel_checks_seed();
}

/* ---- rows and requests ----------------------------------------------- */

static struct nb_rows make_rows(uint32_t dim, uint32_t scales)
{
    struct nb_rows rows = {
        .format = {1, dim, scales}, .base = memory, .n_rows = N_ROWS};
    size_t bytes;

    ck_assert_int_eq(nb_row_bytes(&rows.format, &bytes), 0);
    rows.stride = bytes + rng_below(&rng, 9);
    for (size_t i = 0; i < N_ROWS * rows.stride; i++) {
        memory[i] = (uint8_t)rng_next(&rng);
    }
    for (size_t r = 0; r < N_ROWS; r++) {
        uint8_t *param = memory + r * rows.stride + (dim + 1) / 2;
        float scale = (float)(rng_unit(&rng) + 0.01);
        float bias = (float)(rng_unit(&rng) * -8);
        if (r % 8 == 0) { /* signs of zero count */
            scale = -scale;
            bias = -0.0f;
        }
        if (scales == NB_SCALES_FP16) {
            put_u16(param, half_from_float(scale));
            put_u16(param + 2, half_from_float(bias));
        } else {
            put_f32(param, scale);
            put_f32(param + 4, bias);
        }
    }
    return rows;
}

/* One id in eight is not in the table, if any is to be. */
static void make_ids(size_t n, bool absent)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t id = (uint32_t)rng_below(&rng, N_ROWS);
        if (absent && rng_below(&rng, 8) == 0) {
            id = rng_below(&rng, 2) == 0 ? N_ROWS : UINT32_MAX;
        }
        ids[i] = id;
        ids32[i] = id;
        if (id == UINT32_MAX) {
            ids[i] = UINT64_MAX - rng_below(&rng, 3);
        }
        weights[i] = (float)(rng_unit(&rng) * 4 - 2);
    }
}

static struct nb_ids request_ids(size_t n, bool wide)
{
    return (struct nb_ids){wide ? ids : NULL, wide ? NULL : ids32, n};
}

/* Bags around the window's size now and then, short and empty ones else. */
static size_t make_bags(size_t *n_bags)
{
    size_t n = 0;
    size_t b = 0;

    while (b < MAX_BAGS) {
        uint64_t kind = rng_below(&rng, 40);
        uint64_t length = rng_below(&rng, 4);
        if (kind == 0) {
            length = WINDOW_IDS - 1 + rng_below(&rng, 3);
        } else if (kind == 1) {
            length = 1300;
        } else if (kind < 10) {
            length = rng_below(&rng, 30);
        }
        if (n + length > MAX_IDS) {
            break;
        }
        lengths[b++] = (uint32_t)length;
        n += length;
    }
    *n_bags = b;
    return n;
}

/* ---- the specification, once more ------------------------------------ */

static float param_at(const struct nb_rows *rows, const uint8_t *row,
                      size_t which)
{
    const uint8_t *params = row + (rows->format.dim + 1) / 2;
    return rows->format.scales == NB_SCALES_FP16
               ? half_to_float(get_u16(params + 2 * which))
               : get_f32(params + 4 * which);
}

static float code_at(const uint8_t *row, uint32_t column)
{
    uint8_t byte = row[column / 2];
    return (float)(column % 2 == 0 ? byte & 0xf : byte >> 4);
}

/* NULL if the id stands for nothing. */
static const uint8_t *row_of(const struct nb_rows *rows, uint64_t id,
                             const struct nb_unseen_policy *policy)
{
    if (id >= rows->n_rows) {
        if (policy->action != NB_UNSEEN_DEFAULT) {
            return NULL;
        }
        id = policy->default_row;
    }
    return (const uint8_t *)rows->base + id * rows->stride;
}

static uint64_t id_at(const struct nb_ids *from, size_t i)
{
    return from->u64 != NULL ? from->u64[i] : from->u32[i];
}

struct result {
    float value;  /* by the specification */
    double exact; /* in double */
    double terms; /* sum of the absolute values of what was added */
};

/* What a bag adds up to. */
struct terms {
    float s[WINDOW_IDS]; /* scales and biases of a block's seen rows, times */
    float b[WINDOW_IDS]; /* the weights */
    float q[WINDOW_IDS];
    size_t n;
};

static float sum_of_terms_in_order(const struct terms *terms)
{
    float sum = 0;
    float bias = 0;

    for (size_t i = 0; i < terms->n; i++) {
        volatile float product = terms->s[i] * terms->q[i];
        sum = i == 0 ? product : sum + product;
        bias = i == 0 ? terms->b[i] : bias + terms->b[i];
    }
    return sum + bias;
}

/* Scales as multiples of 2^(e - 22), where e is the least with every scale
 * below 2^e. The scales of these tests are far from the least and greatest. */
static float sum_of_terms_exactly(const struct terms *terms)
{
    float lanes[16] = {0};
    int64_t sum = 0;
    int e = -100;

    for (size_t i = 0; i < terms->n; i++) {
        int exponent;
        frexpf(terms->s[i], &exponent);
        e = terms->s[i] != 0 && exponent > e ? exponent : e;
        lanes[i % 16] += terms->b[i];
    }
    for (size_t i = 0; i < terms->n; i++) {
        double unit = ldexp(1, e - 22);
        sum += (int64_t)rint((double)terms->s[i] / unit) * (int)terms->q[i];
    }
    for (size_t n = 8; n > 0; n /= 2) {
        for (size_t i = 0; i < n; i++) {
            lanes[i] += lanes[i + n];
        }
    }
    return (float)ldexp((double)sum, e - 22) + lanes[0];
}

static float sum_of_terms(const struct terms *terms)
{
    return terms->n < 8 ? sum_of_terms_in_order(terms)
                        : sum_of_terms_exactly(terms);
}

static void add_term(struct terms *terms, float w, float s, float b, float q)
{
    terms->s[terms->n] = w * s;
    terms->b[terms->n] = w * b;
    terms->q[terms->n++] = q;
}

/* Blocks of 256 ids; empty ones add nothing. */
static struct result summed(const struct nb_rows *rows,
                            const struct nb_pool *pool, size_t first,
                            uint32_t length, uint32_t column)
{
    struct result result = {0, 0, 0};
    struct terms terms = {.n = 0};
    double unit = 0;
    bool any = false;

    for (uint32_t i = 0; i < length; i++) {
        const uint8_t *row =
            row_of(rows, id_at(&pool->ids, first + i), &pool->unseen);
        if (row != NULL) {
            float w = pool->weights != NULL ? pool->weights[first + i] : 1;
            float s = param_at(rows, row, 0);
            float b = param_at(rows, row, 1);
            float q = code_at(row, column);
            add_term(&terms, w, s, b, q);
            result.exact += (double)w * ((double)s * (double)q + (double)b);
            unit = fmax(unit, fabs((double)w * (double)s));
            result.terms += fabs((double)w * (double)b);
        }
        if (i % WINDOW_IDS == WINDOW_IDS - 1 || i == length - 1) {
            float sum = sum_of_terms(&terms);
            result.value = any && terms.n > 0 ? result.value + sum
                           : terms.n > 0      ? sum
                                              : result.value;
            any = any || terms.n > 0;
            terms.n = 0;
        }
    }
    result.terms += 15 * unit * length;
    if (pool->pooling == NB_MEAN && length > 0) {
        result.value /= (float)length;
        result.exact /= length;
        result.terms /= length;
    }
    return result;
}

static struct result greatest(const struct nb_rows *rows,
                              const struct nb_pool *pool, size_t first,
                              uint32_t length, uint32_t column)
{
    struct result result = {0, 0, 0};
    bool any = false;

    for (size_t i = first; i < first + length; i++) {
        const uint8_t *row = row_of(rows, id_at(&pool->ids, i), &pool->unseen);
        if (row == NULL) {
            continue;
        }
        float s = param_at(rows, row, 0);
        float b = param_at(rows, row, 1);
        float q = code_at(row, column);
        volatile float product = s * q;
        volatile float value = product + b;
        double exact = (double)s * (double)q + (double)b;
        if (!any || value > result.value) {
            result.value = value;
        }
        result.exact = !any || exact > result.exact ? exact : result.exact;
        any = true;
    }
    result.terms = fabs(result.exact) + 16;
    return result;
}

static struct result pooled(const struct nb_rows *rows,
                            const struct nb_pool *pool, size_t first,
                            uint32_t length, uint32_t column)
{
    return pool->pooling == NB_MAX ? greatest(rows, pool, first, length, column)
                                   : summed(rows, pool, first, length, column);
}

static float output_at(uint32_t dtype, size_t i)
{
    switch (dtype) {
    case NB_FP32:
        return get_f32(out + 4 * i);
    case NB_FP16:
        return half_to_float(get_u16(out + 2 * i));
    default:
        return bf16_to_float(get_u16(out + 2 * i));
    }
}

static float rounded(uint32_t dtype, float value)
{
    switch (dtype) {
    case NB_FP32:
        return value;
    case NB_FP16:
        return half_to_float(half_from_float(value));
    default:
        return bf16_to_float(bf16_from_float(value));
    }
}

/* Equal bits, and no further from the truth than n roundings can be. */
static void check_value(uint32_t dtype, size_t at, struct result want,
                        uint32_t n)
{
    double bound = want.terms * (n + 4) * 0x1p-24 + 1e-30;

    if (!(fabs((double)want.value - want.exact) <= bound)) {
        ck_abort_msg("value %zu: specified %a, in double %a, bound %a", at,
                     (double)want.value, want.exact, bound);
    }
    float expected = rounded(dtype, want.value);
    float got = output_at(dtype, at);
    /* NOLINTNEXTLINE(*-memory-comparison,cert-*): bits are compared */
    if (memcmp(&got, &expected, sizeof(got)) != 0) {
        ck_abort_msg("value %zu: %a, not %a", at, (double)got,
                     (double)expected);
    }
}

static uint64_t count_unseen(const struct nb_ids *from)
{
    uint64_t unseen = 0;
    for (size_t i = 0; i < from->n; i++) {
        unseen += id_at(from, i) >= N_ROWS;
    }
    return unseen;
}

/* ---- tests ----------------------------------------------------------- */

static void check_pool(const struct nb_rows *rows, const struct nb_pool *pool)
{
    uint32_t dim = rows->format.dim;
    uint64_t unseen = UINT64_MAX;
    size_t first = 0;

    ck_assert_int_eq(nb_pool(rows, pool, out, &unseen), 0);
    ck_assert_uint_eq(unseen, count_unseen(&pool->ids));
    pool_parts_check(rows, pool, out, unseen, &rng);
    for (size_t b = 0; b < pool->n_bags; b++) {
        for (uint32_t j = 0; j < dim; j++) {
            check_value(pool->dtype, b * dim + j,
                        pooled(rows, pool, first, pool->lengths[b], j),
                        pool->lengths[b]);
        }
        first += pool->lengths[b];
    }
}

START_TEST(pooled_as_specified)
{
    uint32_t dim = dims[_i];

    for (uint32_t turn = 0; turn < (dim < 128 ? 24u : 12u); turn++) {
        struct nb_rows rows = make_rows(dim, turn & 1);
        size_t n_bags;
        size_t n = make_bags(&n_bags);
        if (dim >= 128) { /* enough to cross windows and tiles */
            n_bags = n_bags < 24 ? n_bags : 24;
            n = 0;
            for (size_t b = 0; b < n_bags; b++) {
                n += lengths[b];
            }
        }
        make_ids(n, turn % 3 != 0);
        struct nb_pool pool = {
            .ids = request_ids(n, (turn & 2) != 0),
            .lengths = lengths,
            .n_bags = n_bags,
            .pooling = turn % 3,
            .dtype = turn / 3 % 3,
            .unseen = {turn % 4 < 2 ? NB_UNSEEN_ZERO : NB_UNSEEN_DEFAULT,
                       N_ROWS - 1},
        };
        if (pool.pooling != NB_MAX && turn % 8 >= 3) {
            pool.weights = weights;
        }
        check_pool(&rows, &pool);
    }
}
END_TEST

static void check_lookup(const struct nb_rows *rows,
                         const struct nb_lookup *lookup)
{
    uint32_t dim = rows->format.dim;
    uint64_t unseen = UINT64_MAX;

    ck_assert_int_eq(nb_lookup(rows, lookup, out, &unseen), 0);
    ck_assert_uint_eq(unseen, count_unseen(&lookup->ids));
    for (size_t i = 0; i < lookup->ids.n; i++) {
        const uint8_t *row =
            row_of(rows, id_at(&lookup->ids, i), &lookup->unseen);
        for (uint32_t j = 0; j < dim; j++) {
            struct result want = {0, 0, 0};
            if (row != NULL) {
                volatile float product =
                    param_at(rows, row, 0) * code_at(row, j);
                want.value = product + param_at(rows, row, 1);
                want.exact =
                    (double)param_at(rows, row, 0) * (double)code_at(row, j) +
                    (double)param_at(rows, row, 1);
                want.terms = 16;
            }
            check_value(lookup->dtype, i * dim + j, want, 1);
        }
    }
}

START_TEST(looked_up_as_specified)
{
    for (uint32_t turn = 0; turn < 12; turn++) {
        struct nb_rows rows = make_rows(dims[_i], turn & 1);
        size_t n = turn % 6 == 0 ? 1100 : rng_below(&rng, 60);
        make_ids(n, turn % 3 != 0);
        struct nb_lookup lookup = {
            .ids = request_ids(n, (turn & 2) != 0),
            .dtype = turn % 3,
            .unseen = {turn % 4 < 2 ? NB_UNSEEN_ZERO : NB_UNSEEN_DEFAULT, 0},
        };
        check_lookup(&rows, &lookup);
    }
}
END_TEST

START_TEST(packed_rows_are_copied)
{
    static const uint8_t zeros[MAX_DIM];
    struct nb_rows rows = make_rows(dims[_i], NB_SCALES_FP16);
    size_t bytes;
    uint64_t unseen;

    ck_assert_int_eq(nb_row_bytes(&rows.format, &bytes), 0);
    make_ids(1100, true);
    struct nb_lookup lookup = {.ids = request_ids(1100, true),
                               .dtype = NB_PACKED};
    memset(out, 0xa5, sizeof(out));
    ck_assert_int_eq(nb_lookup(&rows, &lookup, out, &unseen), 0);
    ck_assert_uint_eq(unseen, count_unseen(&lookup.ids));
    for (size_t i = 0; i < lookup.ids.n; i++) {
        const uint8_t *row = row_of(&rows, ids[i], &lookup.unseen);
        ck_assert_mem_eq(out + i * bytes, row != NULL ? row : zeros, bytes);
    }
    ck_assert_uint_eq(out[lookup.ids.n * bytes], 0xa5);
}
END_TEST

/* nb_decode equals a lookup of the same rows. */
START_TEST(decoded_like_looked_up)
{
    static uint8_t looked_up[sizeof(float) * N_ROWS * MAX_DIM];

    for (uint32_t turn = 0; turn < 8; turn++) {
        struct nb_rows rows = make_rows(dims[_i], turn & 1);
        uint32_t dtype = turn / 2;
        uint64_t first = rng_below(&rng, N_ROWS);
        size_t n = rng_below(&rng, N_ROWS - first + 1);
        size_t bytes = dims[_i] * nb_dtype_bytes(dtype);
        uint64_t unseen;
        if (dtype == NB_PACKED) {
            ck_assert_int_eq(nb_row_bytes(&rows.format, &bytes), 0);
        }
        for (size_t i = 0; i < n; i++) {
            ids[i] = first + i;
        }
        struct nb_lookup lookup = {.ids = request_ids(n, true), .dtype = dtype};
        ck_assert_int_eq(nb_lookup(&rows, &lookup, looked_up, &unseen), 0);
        ck_assert_int_eq(nb_decode(&rows, first, n, dtype, out), 0);
        ck_assert_mem_eq(out, looked_up, n * bytes);
    }
}
END_TEST

/* More rows than a window holds, at the end of the table. */
START_TEST(many_rows_decoded)
{
    static uint8_t rows_of_8[1200 * 8];
    struct nb_rows rows = {
        {1, 8, NB_SCALES_FP16}, rows_of_8, 1200, 8, NULL, NULL, NULL};

    for (size_t i = 0; i < sizeof(rows_of_8); i++) {
        rows_of_8[i] = (uint8_t)i;
    }
    ck_assert_int_eq(nb_decode(&rows, 1, 1199, NB_PACKED, out), 0);
    ck_assert_mem_eq(out, rows_of_8 + 8, sizeof(uint8_t[8]) * 1199);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("requests");
    TCase *tcase = tcase_create("against the specification");

    tcase_add_unchecked_fixture(tcase, start, NULL);
    tcase_add_loop_test(tcase, pooled_as_specified, 0, N_DIMS);
    tcase_add_loop_test(tcase, looked_up_as_specified, 0, N_DIMS);
    tcase_add_loop_test(tcase, packed_rows_are_copied, 0, N_DIMS);
    tcase_add_loop_test(tcase, decoded_like_looked_up, 0, N_DIMS);
    tcase_add_test(tcase, many_rows_decoded);
    suite_add_tcase(suite, tcase);
    return suite;
}
