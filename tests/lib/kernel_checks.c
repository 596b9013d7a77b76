/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/kernel_checks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/codec/codec.h"
#include "quant/codec/numbers.h"
#include "quant/codec/q4.h"
#include "quant/half.h"
#include "tests/lib/encode_checks.h"
#include "tests/lib/float_kinds.h"
#include "tests/lib/guarded.h"
#include "tests/lib/quantize_checks.h"
#include "tests/lib/rng.h"

#define N_ROWS    64           /* different rows to choose from */
#define MAX_PICKS KERNEL_BLOCK /* rows of a job */
#define SENTINEL  0xa5

#define MAX_CODEBOOKS 8

/* The bags of jobs: of all sizes, and such that kernels take two or four of
 * them together. The last is one bag of all the rows there may be. */
struct bags {
    uint32_t n;
    uint32_t sizes[16];
};
static const struct bags bag_lists[] = {
    {16, {20, 0, 2, 19, 1, 21, 3, 4, 5, 0, 8, 7, 16, 33, 9, 1}},
    {12, {20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20}},
    {13, {8, 16, 9, 15, 19, 20, 21, 20, 20, 20, 7, 32, 8}},
    {11, {40, 33, 17, 18, 8, 8, 8, 8, 1, 30, 31}},
    {1, {KERNEL_BLOCK}},
};

#define N_LISTS (sizeof(bag_lists) / sizeof(bag_lists[0]))
#define N_BAGS  16 /* of a job, at most */

/* Dims beyond those from 1 to 65: 4 vectors of 16 and one. */
static const uint32_t large_dims[] = {79,  80,  96,  100, 127, 128, 129,
                                      192, 200, 250, 255, 256, 257, 300,
                                      384, 385, 512, 513, 768, 1024};
#define SMALL_DIMS 65
#define N_DIMS     (SMALL_DIMS + sizeof(large_dims) / sizeof(large_dims[0]))

struct checks {
    const struct kernel *kernel;
    const struct kernel *scalar;
    struct rng rng;
    struct nb_errctx *err;
    struct nb_format format;
    size_t row_bytes;
    struct guarded memory; /* of the rows */
    struct guarded out;
    struct guarded expected;
    const uint8_t *rows[N_ROWS];
    const uint8_t *picks[MAX_PICKS + KERNEL_PAD];
    float weights[MAX_PICKS];
    float codebooks[MAX_CODEBOOKS * NB_LEVELS_MAX];
    struct nb_params params;
};

uint64_t kernel_checks_seed(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread */
    const char *text = getenv("NB_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 20240607;
    printf("NB_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

bool kernel_checks_supported(const struct kernel *kernel)
{
    return (kernel->isa & cpu_isas()) != 0;
}

struct dim_steps kernel_checks_steps(const struct kernel *kernel)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    size_t step = 3;
#else
    size_t step = 1;
#endif
    step *= kernel->isa == ISA_SCALAR ? 5 : 1;
    return (struct dim_steps){strlen(kernel->name) % step, step};
}

static const struct kernel *scalar_of(const struct kernel *kernel)
{
    const struct kernel *row;
    for (size_t i = 0; (row = kernel_at(i)) != NULL; i++) {
        if (row->op == kernel->op && row->codec == kernel->codec &&
            row->isa == ISA_SCALAR) {
            return row;
        }
    }
    return NULL;
}

static void put_param(uint8_t *at, uint32_t scales, struct rng *rng,
                      enum float_kind kind)
{
    if (scales == NB_SCALES_FP32) {
        put_f32(at, float_of_kind(rng, kind));
    } else if (kind == ODD && rng_below(rng, 4) == 0) {
        put_u16(at, (uint16_t)rng_next(rng)); /* any of them */
    } else {
        put_u16(at, half_from_float(float_of_kind(rng, kind)));
    }
}

/* ---- rows ------------------------------------------------------------ */

/* Bytes of a row's codes; what comes behind are numbers of the scale type. */
static size_t code_bytes(const struct nb_format *format)
{
    switch (format->codec) {
    case CODEC_q8:
        return format->dim;
    case CODEC_fp16:
    case CODEC_fp32:
        return 0;
    default:
        return q4_code_bytes(format->dim);
    }
}

/* Random codes everywhere, the spare high nibble of an odd dim included. */
static void make_row(struct checks *checks, uint8_t *row, enum float_kind kind)
{
    size_t at = code_bytes(&checks->format);
    size_t number = number_bytes(checks->format.scales);

    for (size_t i = 0; i < checks->row_bytes; i++) {
        row[i] = kind == EXTREME ? 0xff : (uint8_t)rng_next(&checks->rng);
    }
    for (; at + number <= checks->row_bytes; at += number) {
        put_param(row + at, checks->format.scales, &checks->rng, kind);
    }
}

/* The first row stands right after an unmapped page, the last ends before one,
 * the others are anywhere between, at all alignments. */
static void make_rows(struct checks *checks, enum float_kind kind)
{
    size_t bytes = (size_t)(checks->memory.end - checks->memory.start);
    size_t slot = bytes / N_ROWS;

    for (size_t i = 0; i < N_ROWS; i++) {
        size_t at =
            i * slot + rng_below(&checks->rng, slot - checks->row_bytes + 1);
        if (i == 0) {
            at = 0;
        } else if (i == N_ROWS - 1) {
            at = bytes - checks->row_bytes;
        }
        make_row(checks, checks->memory.start + at, kind);
        checks->rows[i] = checks->memory.start + at;
    }
}

/* One codebook, or as many as there may be; none for a codec without. */
static void make_codebooks(struct checks *checks, enum float_kind kind)
{
    const struct codec_trained *trained =
        codec_by_id(checks->format.codec)->trained;
    uint32_t n = rng_below(&checks->rng, 2) == 0 ? 1 : MAX_CODEBOOKS;

    checks->params = (struct nb_params){0};
    if (trained == NULL) {
        return;
    }
    n = trained->can_have(n) ? n : MAX_CODEBOOKS + 1 - n;
    for (size_t i = 0; i < (size_t)n * trained->n_levels; i++) {
        checks->codebooks[i] = float_of_kind(&checks->rng, kind);
    }
    checks->params = (struct nb_params){.codebooks = checks->codebooks,
                                        .n_codebooks = n,
                                        .n_levels = trained->n_levels};
}

static void pick_rows(struct checks *checks, enum float_kind kind)
{
    for (size_t i = 0; i < MAX_PICKS + KERNEL_PAD; i++) {
        uint64_t pick = rng_below(&checks->rng, 4) == 0
                            ? rng_below(&checks->rng, 2) * (N_ROWS - 1)
                            : rng_below(&checks->rng, N_ROWS);
        checks->picks[i] = checks->rows[pick];
    }
    for (size_t i = 0; i < MAX_PICKS; i++) {
        checks->weights[i] = float_of_kind(&checks->rng, kind);
    }
}

/* ---- results --------------------------------------------------------- */

static bool is_nan(const uint8_t *value, uint32_t dtype)
{
    switch (dtype) {
    case NB_FP32:
        return isnan(get_f32(value));
    case NB_FP16:
        return (get_u16(value) & 0x7fffu) > 0x7c00u;
    default:
        return (get_u16(value) & 0x7fffu) > 0x7f80u;
    }
}

/* Index of the first value that differs, n if none; NaNs are all the same. */
static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t n,
                               uint32_t dtype)
{
    size_t bytes = nb_dtype_bytes(dtype);

    if (memcmp(a, b, n * bytes) == 0) {
        return n;
    }
    for (size_t i = 0; i < n; i++) {
        if (memcmp(a + i * bytes, b + i * bytes, bytes) != 0 &&
            !(is_nan(a + i * bytes, dtype) && is_nan(b + i * bytes, dtype))) {
            return i;
        }
    }
    return n;
}

static int differs(const struct checks *checks, const struct kernel_job *job,
                   const char *what, size_t at)
{
    nb_fail(checks->err, -1,
            "%s: %s: row %zu of results, column %zu; dim %u, %s scales, "
            "%s, dtype %u, %u columns from %u, %s",
            checks->kernel->name, what, at / job->width,
            job->col + at % job->width, job->dim,
            job->scales == NB_SCALES_FP16 ? "fp16" : "fp32",
            job->weights != NULL ? "weights" : "no weights", job->dtype,
            job->width, job->col, job->lengths != NULL ? "mean" : "no mean");
    return -1;
}

/* Are all bytes from p to end as they were before? */
static bool is_untouched(const uint8_t *p, const uint8_t *end)
{
    return p >= end ||
           (*p == SENTINEL && memcmp(p, p + 1, (size_t)(end - p) - 1) == 0);
}

/* n_out results of width values: ours against the scalar ones, and nothing
 * written before or after, nor between rows of results. */
static int compare(const struct checks *checks, const struct kernel_job *job,
                   const uint8_t *expected, size_t n_out)
{
    size_t used = job->width * nb_dtype_bytes(job->dtype);

    for (size_t i = 0; i < n_out; i++) {
        const uint8_t *ours = job->out + i * job->out_stride;
        size_t at = first_difference(ours, expected + i * job->out_stride,
                                     job->width, job->dtype);
        if (at < job->width) {
            return differs(checks, job, "not as scalar", i * job->width + at);
        }
        const uint8_t *next = ours + job->out_stride;
        next = next < checks->out.end ? next : checks->out.end;
        if (!is_untouched(ours + used, next)) {
            return differs(checks, job, "wrote behind", i * job->width);
        }
    }
    if (!is_untouched(checks->out.start, job->out)) {
        return differs(checks, job, "wrote before", 0);
    }
    return 0;
}

/* Puts the results at any alignment, every other time up to the unmapped page.
 * The gap between rows of results is less than a value's worth. */
static void place_results(struct checks *checks, struct kernel_job *job,
                          size_t n_out)
{
    size_t used = job->width * nb_dtype_bytes(job->dtype);
    size_t gap = rng_below(&checks->rng, 2) * rng_below(&checks->rng, 64);

    job->out_stride = used + rng_below(&checks->rng, 2) * 3;
    size_t bytes = n_out > 0 ? (n_out - 1) * job->out_stride + used : 0;
    memset(checks->out.start, SENTINEL,
           (size_t)(checks->out.end - checks->out.start));
    job->out = checks->out.end - bytes - gap;
}

/* Of the bags, if it is a job of bags. */
static size_t rows_of(const struct kernel_job *job)
{
    size_t n = 0;
    for (size_t b = 0; b < job->n_bags; b++) {
        n += job->counts[b];
    }
    return n;
}

static int run_both(struct checks *checks, struct kernel_job *job, size_t n_out)
{
    place_results(checks, job, n_out);
    struct kernel_job scalar = *job;
    scalar.out = checks->expected.start;
    kernel_run(checks->scalar, &scalar);
    kernel_run(checks->kernel, job);
    return compare(checks, job, scalar.out, n_out);
}

/* The first bag in three parts. */
static void run_parts(const struct kernel *kernel, struct kernel_job job,
                      const uint32_t *parts)
{
    struct kernel_sums sums;

    job.n_bags = 1;
    job.sums = &sums;
    for (size_t i = 0; i < 3; i++) {
        job.counts = &parts[i];
        job.n_rows = parts[i];
        job.suspend = i < 2;
        kernel_run(kernel, &job);
        job.resume = job.resume || parts[i] > 0;
        job.rows += parts[i];
        job.weights += job.weights != NULL ? parts[i] : 0;
    }
}

static int run_both_in_parts(struct checks *checks, struct kernel_job *job)
{
    uint32_t n = job->counts[0];
    uint32_t cut = (uint32_t)rng_below(&checks->rng, n + 1);
    uint32_t parts[] = {cut, (n - cut) / 2, n - cut - (n - cut) / 2};

    place_results(checks, job, 1);
    struct kernel_job scalar = *job;
    scalar.out = checks->expected.start;
    run_parts(checks->scalar, scalar, parts);
    run_parts(checks->kernel, *job, parts);
    return compare(checks, job, scalar.out, 1);
}

/* ---- jobs ------------------------------------------------------------ */

static int check_tiles(struct checks *checks, struct kernel_job *job)
{
    for (uint32_t col = 0; col < job->dim; col += checks->kernel->tile) {
        uint32_t left = job->dim - col;
        job->col = col;
        job->width = left < checks->kernel->tile ? left : checks->kernel->tile;
        if (run_both(checks, job, job->n_bags) != 0 ||
            run_both_in_parts(checks, job) != 0) {
            return -1;
        }
    }
    return 0;
}

static int check_pooling(struct checks *checks, struct kernel_job *job,
                         bool divide)
{
    const struct bags *bags = &bag_lists[rng_below(&checks->rng, N_LISTS)];

    job->counts = bags->sizes;
    job->n_bags = bags->n;
    job->lengths = divide ? job->counts : NULL;
    job->n_rows = rows_of(job);
    job->ahead = checks->picks; /* prefetching what is there changes nothing */
    job->n_ahead = rng_below(&checks->rng, MAX_PICKS);
    for (job->dtype = NB_FP32; job->dtype <= NB_BF16; job->dtype++) {
        if (check_tiles(checks, job) != 0) {
            return -1;
        }
    }
    return 0;
}

static int check_decode(struct checks *checks, struct kernel_job *job)
{
    job->n_rows = 9;
    job->width = job->dim;
    for (job->dtype = NB_FP32; job->dtype <= NB_BF16; job->dtype++) {
        if (run_both(checks, job, job->n_rows) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Ids in and out of a table whose rows are nowhere. */
static int check_locate(struct checks *checks)
{
    const uint8_t *at[2][100] = {{NULL}};
    uint64_t ids64[100];
    uint32_t ids32[100];
    uint64_t unseen[2];
    bool wide = rng_below(&checks->rng, 2) == 0;
    struct kernel_ids ids = {
        .n = rng_below(&checks->rng, 100),
        .base = (uintptr_t)checks->memory.start,
        .stride = rng_next(&checks->rng) >> rng_below(&checks->rng, 64),
        .n_rows = rng_next(&checks->rng) >> rng_below(&checks->rng, 64),
        .absent = checks->memory.end};

    for (size_t i = 0; i < 100; i++) {
        uint64_t near = ids.n_rows + rng_below(&checks->rng, 4) - 2;
        ids64[i] = rng_below(&checks->rng, 2) == 0
                       ? near
                       : rng_next(&checks->rng) >> rng_below(&checks->rng, 64);
        ids32[i] = (uint32_t)ids64[i];
    }
    ids.u64 = wide ? ids64 : NULL;
    ids.u32 = wide ? NULL : ids32;
    for (size_t i = 0; i < 2; i++) {
        ids.at = at[i];
        ids.unseen = &unseen[i];
        kernel_run_locate(i == 0 ? checks->scalar : checks->kernel, &ids);
    }
    if (unseen[0] != unseen[1] || memcmp(at[0], at[1], sizeof(at[0])) != 0) {
        return nb_fail(checks->err, -1, "%s: rows of %zu ids differ",
                       checks->kernel->name, ids.n);
    }
    return 0;
}

/* n floats that end at the unmapped page behind `end` or before that. */
static const float *make_floats(struct checks *checks, enum float_kind kind,
                                uint8_t **end, size_t n)
{
    *end -= n * sizeof(float);
    for (size_t i = 0; i < n; i++) {
        put_f32(*end + i * sizeof(float), float_of_kind(&checks->rng, kind));
    }
    return (const float *)(void *)*end;
}

/* Each of the four inputs is once the one that ends at the unmapped page. */
static int check_columns(struct checks *checks, enum float_kind kind)
{
    struct kernel_job job = {.dim = checks->format.dim};
    job.width = job.dim < KERNEL_TILE_MAX ? job.dim : KERNEL_TILE_MAX;
    for (uint32_t turn = 0; turn < 12; turn++) {
        const size_t n = 5;
        const size_t sizes[4] = {n * job.width, job.width, job.width, n};
        const float *inputs[4];
        uint8_t *end = checks->memory.end;
        for (uint32_t i = turn; i < turn + 4; i++) {
            inputs[i % 4] = make_floats(checks, kind, &end, sizes[i % 4]);
        }
        job.dtype = turn % 3;
        place_results(checks, &job, n);
        struct kernel_columns columns = {.values = inputs[0],
                                         .n = n,
                                         .width = job.width,
                                         .mean = inputs[1],
                                         .scale =
                                             turn % 2 == 0 ? inputs[2] : NULL,
                                         .shifts = inputs[3],
                                         .dtype = job.dtype,
                                         .out = checks->expected.start,
                                         .out_stride = job.out_stride};
        kernel_run_columns(checks->scalar, &columns);
        columns.out = job.out;
        kernel_run_columns(checks->kernel, &columns);
        if (compare(checks, &job, checks->expected.start, n) != 0) {
            return -1;
        }
    }
    return 0;
}

static int check_op(struct checks *checks, enum float_kind kind)
{
    struct kernel_job job = {.rows = checks->picks,
                             .row_bytes = checks->row_bytes,
                             .touch_bytes = checks->row_bytes,
                             .dim = checks->format.dim,
                             .scales = checks->format.scales,
                             .params = &checks->params};

    make_codebooks(checks, kind);
    make_rows(checks, kind);
    pick_rows(checks, kind);
    switch (checks->kernel->op) {
    case KERNEL_locate:
        return check_locate(checks);
    case KERNEL_columns:
        return check_columns(checks, kind);
    case KERNEL_decode:
        return check_decode(checks, &job);
    case KERNEL_sum:
        if (check_pooling(checks, &job, false) != 0 ||
            check_pooling(checks, &job, true) != 0) {
            return -1;
        }
        job.weights = checks->weights;
        if (check_pooling(checks, &job, false) != 0) {
            return -1;
        }
        return check_pooling(checks, &job, true);
    case KERNEL_max:
        return check_pooling(checks, &job, false);
    default:
        return nb_fail(checks->err, -1, "%s: op without a check",
                       checks->kernel->name);
    }
}

static int check_dim(struct checks *checks, uint32_t dim)
{
    checks->format.dim = dim;
    for (uint32_t scales = NB_SCALES_FP16; scales <= NB_SCALES_FP32; scales++) {
        checks->format.scales = scales;
        if ((codec_by_id(checks->format.codec)->scales >> scales & 1u) == 0) {
            continue;
        }
        int rv = nb_row_bytes(&checks->format, &checks->row_bytes);
        if (rv != 0) {
            return nb_fail(checks->err, -1, "row bytes: %s", nb_strerror(rv));
        }
        for (int kind = 0; kind < N_KINDS; kind++) {
            /* The others are about q4's sums in integers. */
            bool about_all = kind == USUAL || kind == ODD;
            if (checks->format.codec != CODEC_q4 && !about_all) {
                continue;
            }
            if (check_op(checks, (enum float_kind)kind) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

int kernel_checks_run(const struct kernel *kernel, uint64_t seed,
                      struct nb_errctx *err)
{
    if (kernel->op == KERNEL_encode) {
        return encode_checks_run(kernel, scalar_of(kernel), seed, err);
    }
    if (quantize_checks_know(kernel->op)) {
        return quantize_checks_run(kernel, scalar_of(kernel), seed, err);
    }
    /* Slots of twice a row of the widest dim; results of the most rows. */
    const size_t row_memory = (size_t)N_ROWS * 2 * 1024 * sizeof(float);
    const size_t out_memory = (size_t)N_BAGS * (1024 * sizeof(float) + 3) + 64;
    struct checks checks = {.kernel = kernel,
                            .scalar = scalar_of(kernel),
                            .rng = {seed},
                            .err = err,
                            .format = {.codec = kernel->codec != CODEC_any
                                                    ? kernel->codec
                                                    : CODEC_q4},
                            .memory = guarded_create(row_memory),
                            .out = guarded_create(out_memory),
                            .expected = guarded_create(out_memory)};
    int rv = 0;

    if (checks.scalar == NULL) {
        rv = nb_fail(err, -1, "%s: no scalar kernel", kernel->name);
    }
    struct dim_steps of = kernel_checks_steps(kernel);
    for (size_t i = of.first; rv == 0 && i < N_DIMS; i += of.step) {
        rv = check_dim(&checks, i < SMALL_DIMS ? (uint32_t)i + 1
                                               : large_dims[i - SMALL_DIMS]);
    }
    guarded_destroy(&checks.memory);
    guarded_destroy(&checks.out);
    guarded_destroy(&checks.expected);
    return rv;
}
