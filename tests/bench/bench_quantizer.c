/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Times the quantizer: encoding with every search, and its other kernels, for
 * every instruction set in use. All cases of a dim run in turns, so that a
 * disturbance hits all alike; medians and the spread of the middle half are
 * shown. Memory-bound cases read a table out of cache and are set against
 * plain sequential reading of it in the same rounds.
 *
 *     bench_quantizer [--rounds N] [--table-mib N] [--quick | --full]
 *                  [--json FILE]
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/codec/codec.h"
#include "quant/codec/q4.h"
#include "quant/kernel/kernels.h"
#include "quant/nibble.h"
#include "quant/search/affine.h"
#include "tests/bench/settings.h"
#include "tests/bench/timing.h"

#define CACHED_ROWS 2048
#define MAX_CASES   40

struct bench {
    float *x; /* the table */
    uint8_t *rows;
    struct nb_format format;
    size_t n_table; /* rows of the table */
    uint64_t sink;  /* what reading came to, so that it is not left out */
};

struct bench_case {
    const char *what;
    const struct kernel *first;  /* NULL: sequential reading */
    const struct kernel *second; /* pack, after a search */
    size_t n_rows;
    bool writes;          /* as many bytes as packed rows; of reading */
    struct timing timing; /* a row */
};

/* ---- what is timed --------------------------------------------------- */

static void run_read(struct bench *bench, size_t first, size_t n_rows)
{
    const char *from = (const char *)(bench->x + first * bench->format.dim);
    size_t bytes = n_rows * bench->format.dim * sizeof(float);
    uint64_t sum[4] = {0};
    for (size_t i = 0; i + 64 <= bytes; i += 64) {
        for (size_t k = 0; k < 4; k++) {
            uint64_t a;
            uint64_t b;
            memcpy(&a, from + i + k * 8, 8);
            memcpy(&b, from + i + 32 + k * 8, 8);
            sum[k] += a ^ b;
        }
    }
    bench->sink += sum[0] + sum[1] + sum[2] + sum[3];
}

/* Reads, and writes as many bytes as the packed rows have. */
static void run_read_write(struct bench *bench, size_t n_rows)
{
    size_t block = q4_block_rows(bench->format.dim);
    size_t stride;
    nb_row_bytes(&bench->format, &stride);
    for (size_t i = 0; i + block <= n_rows; i += block) {
        run_read(bench, i, block);
        memset(bench->rows + i * stride, (int)(bench->sink & 0xff),
               block * stride);
    }
}

static void run_encode(struct bench *bench, const struct bench_case *item)
{
    struct affine affine[Q4_BLOCK_MAX];
    size_t block = q4_block_rows(bench->format.dim);
    size_t dim = bench->format.dim;
    size_t stride;
    nb_row_bytes(&bench->format, &stride);
    for (size_t i = 0; i + block <= item->n_rows; i += block) {
        const float *x = bench->x + i * dim;
        ((void(*) KERNEL_ARGS_asym)item->first->function)(&bench->format, x,
                                                          block, affine);
        ((void(*) KERNEL_ARGS_pack)item->second->function)(
            &bench->format, x, block, affine, bench->rows + i * stride, stride);
    }
}

static void run_over(struct bench *bench, const struct bench_case *item)
{
    size_t at;
    ((void(*) KERNEL_ARGS_over)item->first->function)(
        bench->x, item->n_rows * bench->format.dim, 65504, &at);
    bench->sink += at;
}

static void run_error(struct bench *bench, const struct bench_case *item)
{
    size_t dim = bench->format.dim;
    for (size_t i = 0; i + 1 < item->n_rows; i++) {
        struct nb_row_error error;
        ((void(*) KERNEL_ARGS_error)item->first->function)(
            bench->x + i * dim, bench->x + (i + 1) * dim, dim, &error);
        bench->sink += error.sq_err > 0;
    }
}

static void run_case(struct bench *bench, const struct bench_case *item)
{
    if (item->writes) {
        run_read_write(bench, item->n_rows);
    } else if (item->first == NULL) {
        run_read(bench, 0, item->n_rows);
    } else if (item->second != NULL) {
        run_encode(bench, item);
    } else if (item->first->op == KERNEL_over) {
        run_over(bench, item);
    } else {
        run_error(bench, item);
    }
}

/* ---- cases ----------------------------------------------------------- */

static const struct kernel *kernel_of(enum kernel_op op, uint32_t isa)
{
    const struct kernel *kernel;
    for (size_t i = 0; (kernel = kernel_at(i)) != NULL; i++) {
        if (kernel->op == op && kernel->isa == isa) {
            return kernel;
        }
    }
    return NULL;
}

static size_t add_isa(const struct bench *bench, uint32_t isa,
                      struct bench_case *items, size_t n)
{
    const struct kernel *pack = kernel_of(KERNEL_pack, isa);
    const struct kernel *asym = kernel_of(KERNEL_asym, isa);
    const struct kernel *greedy = kernel_of(KERNEL_greedy, isa);
    const struct kernel *over = kernel_of(KERNEL_over, isa);
    const struct kernel *error = kernel_of(KERNEL_error, isa);
    const struct bench_case all[] = {
        {.what = "encode asym, in cache", asym, pack, CACHED_ROWS},
        {.what = "encode asym", asym, pack, bench->n_table},
        {.what = "encode greedy", greedy, pack, CACHED_ROWS},
        {.what = "check values", over, NULL, bench->n_table},
        {.what = "row error, in cache", error, NULL, CACHED_ROWS},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i].first != NULL && n < MAX_CASES) {
            items[n++] = all[i];
        }
    }
    return n;
}

static size_t make_cases(const struct bench *bench, struct bench_case *items)
{
    size_t n = 0;
    items[n++] = (struct bench_case){.what = "sequential read",
                                     .n_rows = bench->n_table};
    items[n++] = (struct bench_case){
        .what = "read, write packed", .n_rows = bench->n_table, .writes = true};
    for (uint32_t isa = ISA_AVX512; isa != 0; isa >>= 1) {
        if ((isa & cpu_isas()) != 0) {
            n = add_isa(bench, isa, items, n);
        }
    }
    return n;
}

/* ---- results --------------------------------------------------------- */

static void print_case(const struct settings *settings,
                       const struct bench *bench, struct bench_case *item,
                       double read_ns)
{
    const char *isa =
        item->first != NULL ? cpu_isa_name(item->first->isa) : "-";
    double median = timing_median(&item->timing);
    double spread = timing_spread(&item->timing);
    double gb_per_s = 4.0 * bench->format.dim / median;
    double to_read = median / read_ns;
    printf("%-22s %-7s d=%-4u %9.1f ns/row +-%6.1f %8.2f Mrow/s "
           "%6.2f GB/s %7.2fx read\n",
           item->what, isa, bench->format.dim, median, spread / 2, 1e3 / median,
           gb_per_s, to_read);
    if (settings->json != NULL) {
        fprintf(settings->json,
                "{\"bench\":\"quantizer\",\"case\":\"%s\",\"isa\":\"%s\","
                "\"dim\":%u,\"rows\":%zu,\"ns_per_row\":%.2f,"
                "\"spread_ns\":%.2f,\"mrows_per_s\":%.3f,\"gb_per_s\":%.3f,"
                "\"time_to_read\":%.3f}\n",
                item->what, isa, bench->format.dim, item->n_rows, median,
                spread, 1e3 / median, gb_per_s, to_read);
    }
}

static void run_dim(const struct settings *settings, struct bench *bench,
                    uint32_t dim)
{
    static struct bench_case items[MAX_CASES];
    bench->format = (struct nb_format){.codec = CODEC_q4, .dim = dim};
    bench->n_table = settings->table_bytes / (dim * sizeof(float));
    size_t n = make_cases(bench, items);
    for (size_t round = 0; round < settings->rounds; round++) {
        for (size_t i = 0; i < n; i++) {
            if (items[i].n_rows == CACHED_ROWS) {
                run_case(bench, &items[i]); /* brings the rows into cache */
            }
            uint64_t start = timing_now_ns();
            run_case(bench, &items[i]);
            timing_add(&items[i].timing, start, items[i].n_rows);
        }
    }
    double read_ns = timing_median(&items[0].timing);
    for (size_t i = 0; i < n; i++) {
        print_case(settings, bench, &items[i], read_ns);
    }
}

/* About Gaussian, of any seed: a sum of four 16-bit uniforms. */
static void fill(float *x, size_t n)
{
    uint64_t state = 20240607;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = state ^ state >> 29;
        int sum = 0;
        for (int k = 0; k < 4; k++) {
            sum += (int)(bits >> (16 * k) & 0xffff) - 0x8000;
        }
        x[i] = (float)sum / 40000;
    }
}

int main(int argc, char **argv)
{
    struct settings settings = {.rounds = 9, .table_bytes = (size_t)256 << 20};
    settings_parse(&settings, argc, argv);
    struct bench bench = {.x = malloc(settings.table_bytes),
                          .rows = malloc(settings.table_bytes / 4)};
    if (bench.x == NULL || bench.rows == NULL) {
        fprintf(stderr, "bench_quantizer: no memory for a table of %zu MiB\n",
                settings.table_bytes >> 20);
        free(bench.x);
        free(bench.rows);
        return 1;
    }
    fill(bench.x, settings.table_bytes / sizeof(float));
    memset(bench.rows, 0, settings.table_bytes / 4);
    run_dim(&settings, &bench, 64);
    run_dim(&settings, &bench, 128);
    settings_close(&settings);
    free(bench.x);
    free(bench.rows);
    return bench.sink == 1; /* never, but the compiler cannot know */
}
