/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Times each row of kernels.def alone that bench_kernels does not: what
 * quantizes, finds rows and puts columns back. Blocks of 16 rows, once the same
 * ones over and over, once others each time, spread over a table out of cache.
 * All cases run in turns; the median and the spread of the middle half are
 * shown. A kernel without a case is an error.
 *
 *     bench_each [--rounds N] [--table-mib N] [--quick | --full] [--json FILE]
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/codec/codec.h"
#include "quant/kernel/kernels.h"
#include "quant/nibble.h"
#include "quant/search/affine.h"
#include "tests/bench/settings.h"
#include "tests/bench/timing.h"

#define DIM         64
#define BLOCK       16 /* rows of a call */
#define CALLS       64 /* in a round */
#define SAMPLE_ROWS 4096
#define MAX_CASES   128

struct bench {
    const float *x; /* n_blocks x BLOCK x DIM */
    size_t n_blocks;
    struct affine affine[BLOCK]; /* of ranges that hold any of the rows */
    float ones[DIM];
    _Alignas(64) uint8_t out[(size_t)BLOCK * DIM * sizeof(float)];
    uint64_t sink; /* of results, so that they are not left out */
};

struct each {
    const struct kernel *kernel;
    bool cached;
    size_t next; /* block */
    struct nb_format format;
    struct nb_params params; /* codebooks owned */
    size_t row_bytes;
    struct timing timing; /* a row */
};

/* ---- a call of each op: `x` is BLOCK rows ----------------------------- */

typedef void call_fn(struct bench *bench, const struct each *each,
                     const float *x);

static void call_locate(struct bench *bench, const struct each *each,
                        const float *x)
{
    const uint8_t *at[BLOCK];
    /* Floats are as good as any ids. */
    const struct kernel_ids ids = {.u32 = (const void *)x,
                                   .n = BLOCK,
                                   .base = (uintptr_t)bench->x,
                                   .stride = 1,
                                   .n_rows = UINT32_MAX / 2,
                                   .absent = bench->out,
                                   .at = at,
                                   .unseen = &bench->sink};
    kernel_run_locate(each->kernel, &ids);
    bench->sink += (uintptr_t)at[BLOCK - 1];
}

static void call_columns(struct bench *bench, const struct each *each,
                         const float *x)
{
    const struct kernel_columns columns = {.values = x,
                                           .n = BLOCK,
                                           .width = DIM,
                                           .mean = bench->ones,
                                           .scale = bench->ones,
                                           .shifts = bench->ones,
                                           .dtype = NB_FP32,
                                           .out = bench->out,
                                           .out_stride = DIM * sizeof(float)};
    kernel_run_columns(each->kernel, &columns);
}

/* asym and greedy */
static void call_choose(struct bench *bench, const struct each *each,
                        const float *x)
{
    struct affine chosen[BLOCK];
    ((void(*) KERNEL_ARGS_asym)each->kernel->function)(&each->format, x, BLOCK,
                                                       chosen);
    bench->sink += chosen[BLOCK - 1].bias > 0;
}

static void call_pack(struct bench *bench, const struct each *each,
                      const float *x)
{
    ((void(*) KERNEL_ARGS_pack)each->kernel->function)(
        &each->format, x, BLOCK, bench->affine, bench->out, each->row_bytes);
}

static void call_over(struct bench *bench, const struct each *each,
                      const float *x)
{
    size_t at;
    ((void(*) KERNEL_ARGS_over)each->kernel->function)(x, (size_t)BLOCK * DIM,
                                                       65504, &at);
    bench->sink += at;
}

static void call_error(struct bench *bench, const struct each *each,
                       const float *x)
{
    for (size_t i = 0; i < BLOCK; i++) {
        struct nb_row_error error;
        ((void(*) KERNEL_ARGS_error)each->kernel->function)(
            x + i * DIM, bench->ones, DIM, &error);
        bench->sink += error.sq_err > 0;
    }
}

static void call_encode(struct bench *bench, const struct each *each,
                        const float *x)
{
    ((void(*) KERNEL_ARGS_encode)each->kernel->function)(
        &each->format, &each->params, x, BLOCK, bench->out, each->row_bytes);
}

static call_fn *const calls[] = {
    [KERNEL_locate] = call_locate, [KERNEL_columns] = call_columns,
    [KERNEL_asym] = call_choose,   [KERNEL_greedy] = call_choose,
    [KERNEL_pack] = call_pack,     [KERNEL_over] = call_over,
    [KERNEL_error] = call_error,   [KERNEL_encode] = call_encode,
};

/* ---- cases ------------------------------------------------------------ */

static int train(const struct bench *bench, struct each *each)
{
    const struct nb_training training = {
        .format = each->format, .z = bench->x, .n_rows = SAMPLE_ROWS};
    size_t work_bytes;
    int rv = nb_train_sizes(&training, &each->params, &work_bytes);
    if (rv != 0) {
        return rv;
    }
    size_t n = (size_t)each->params.n_codebooks * each->params.n_levels;
    float *codebooks = malloc(n * sizeof(float));
    void *work = malloc(work_bytes);
    rv = codebooks != NULL && work != NULL
             ? nb_train(&training, work, codebooks)
             : NB_ERR_NOMEM;
    free(work);
    each->params.codebooks = codebooks;
    return rv;
}

static int make_case(const struct bench *bench, const struct kernel *kernel,
                     bool cached, struct each *each)
{
    *each = (struct each){.kernel = kernel, .cached = cached};
    each->format.dim = DIM;
    each->format.codec = kernel->codec != CODEC_any ? kernel->codec : CODEC_q4;
    struct nb_codec_traits traits;
    int rv = nb_codec_traits(each->format.codec, &traits);
    if (rv == 0) {
        each->format.scales = traits.scales;
        rv = nb_row_bytes(&each->format, &each->row_bytes);
    }
    return rv == 0 && kernel->op == KERNEL_encode ? train(bench, each) : rv;
}

/* decode, sum and max are bench_kernels'. */
static bool is_ours(const struct kernel *kernel)
{
    return kernel->op != KERNEL_decode && kernel->op != KERNEL_sum &&
           kernel->op != KERNEL_max && (kernel->isa & cpu_isas()) != 0;
}

/* How many, or 0 after a message. */
static size_t make_cases(const struct bench *bench, struct each *all)
{
    const struct kernel *kernel;
    size_t n = 0;
    for (size_t i = 0; (kernel = kernel_at(i)) != NULL; i++) {
        if (!is_ours(kernel)) {
            continue;
        }
        size_t n_calls = sizeof(calls) / sizeof(calls[0]);
        if ((size_t)kernel->op >= n_calls || calls[kernel->op] == NULL ||
            n + 2 > MAX_CASES) {
            fprintf(stderr, "bench_each: no case for %s\n", kernel->name);
            return 0;
        }
        for (int cached = 1; cached >= 0; cached--) {
            int rv = make_case(bench, kernel, cached != 0, &all[n++]);
            if (rv != 0) {
                fprintf(stderr, "bench_each: %s: %s\n", kernel->name,
                        nb_strerror(rv));
                return 0;
            }
        }
    }
    return n;
}

static void run_round(struct bench *bench, struct each *each)
{
    call_fn *call = calls[each->kernel->op];
    /* Far from the last one, as an odd multiple visits all blocks. */
    size_t step = each->cached ? 1 : bench->n_blocks / 5 * 2 + 1;
    size_t n = each->cached ? CALLS : bench->n_blocks;
    uint64_t start = timing_now_ns();
    for (size_t i = 0; i < CALLS; i++) {
        each->next = (each->next + step) % n;
        call(bench, each, bench->x + each->next * BLOCK * DIM);
    }
    timing_add(&each->timing, start, (size_t)CALLS * BLOCK);
}

static void print_case(const struct settings *settings, struct each *each)
{
    double median = timing_median(&each->timing);
    double spread = timing_spread(&each->timing);
    const char *where = each->cached ? "in cache" : "out of cache";
    /* Two codecs may share a function. */
    const char *codec = each->kernel->codec != CODEC_any
                            ? nb_codec_name(each->kernel->codec)
                            : "any";
    printf("%-28s %-10s %-12s d=%d %10.2f ns/row +-%8.2f\n", each->kernel->name,
           codec, where, DIM, median, spread / 2);
    if (settings->json != NULL) {
        fprintf(settings->json,
                "{\"bench\":\"each\",\"kernel\":\"%s\",\"codec\":\"%s\","
                "\"cached\":%s,"
                "\"dim\":%d,\"ns_per_row\":%.3f,\"spread_ns\":%.3f}\n",
                each->kernel->name, codec, each->cached ? "true" : "false", DIM,
                median, spread);
    }
}

/* ---- a table ----------------------------------------------------------- */

/* About Gaussian: a sum of four 16-bit uniforms. */
static float *make_table(size_t n)
{
    float *x = malloc(n * sizeof(float));
    uint64_t state = 20240607;
    for (size_t i = 0; i < n && x != NULL; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = state ^ state >> 29;
        int sum = 0;
        for (int k = 0; k < 4; k++) {
            sum += (int)(bits >> (16 * k) & 0xffff) - 0x8000;
        }
        x[i] = (float)sum / 40000;
    }
    return x;
}

static int run(const struct settings *settings, struct bench *bench)
{
    static struct each all[MAX_CASES];
    for (size_t i = 0; i < DIM; i++) {
        bench->ones[i] = 1;
    }
    for (size_t i = 0; i < BLOCK; i++) {
        bench->affine[i] = affine_of_range(-4, 4, NB_SCALES_FP16);
    }
    size_t n = make_cases(bench, all);
    for (size_t round = 0; round < settings->rounds + 1; round++) {
        for (size_t i = 0; i < n; i++) {
            run_round(bench, &all[i]);
            if (round == 0) { /* it brought blocks into cache */
                all[i].timing.n = 0;
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        print_case(settings, &all[i]);
        free((void *)all[i].params.codebooks);
    }
    return n == 0;
}

int main(int argc, char **argv)
{
    struct settings settings = {.rounds = 9, .table_bytes = (size_t)256 << 20};
    settings_parse(&settings, argc, argv);
    size_t block = (size_t)BLOCK * DIM;
    struct bench bench = {.n_blocks =
                              settings.table_bytes / (block * sizeof(float))};
    float *x = make_table(bench.n_blocks * block);
    if (x == NULL || bench.n_blocks * BLOCK < SAMPLE_ROWS) {
        fprintf(stderr, "bench_each: no memory for a table of %zu MiB\n",
                settings.table_bytes >> 20);
        free(x);
        return 1;
    }
    bench.x = x;
    int rv = run(&settings, &bench);
    settings_close(&settings);
    free(x);
    return rv != 0 ? rv : bench.sink == 1; /* never: it is not left out */
}
