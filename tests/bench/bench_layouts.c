/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * What another layout of q4 rows would gain: rows padded to whole lines, scale
 * and bias before the codes, low nibbles first; and what each stage of reading
 * rows costs, by leaving it out. In cache and out of it, on 2 MiB pages, all
 * variants in turns; medians and ratios to the first.
 *
 *     bench_layouts [--rounds N] [--table-mib N] [--full] [--json FILE]
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/bench/id_stream.h"
#include "tests/bench/row_memory.h"
#include "tests/bench/settings.h"
#include "tests/bench/timing.h"

#if defined(__x86_64__)
#include "tests/bench/layouts_avx512.h"

#define CACHED_ROWS 20000u
#define IDS         ((size_t)1 << 21)
#define CALL_IDS    2000u
#define ROUND_IDS   100000u
#define BAG         20u
#define MAX_DIM     128u
#define HUGE_PAGE   ((size_t)2 << 20)

/* A half that is a normal number, whichever byte it begins with: what is in
 * the rows does not change their time. */
#define FILL 0x2d

struct variant {
    const char *name;
    enum layout layout;
    enum stages stages;
    bool lines;      /* rows padded to whole lines */
    bool touch_only; /* no arithmetic */
};

static const struct variant variants[] = {
    {"as it is", LAYOUT_Q4, STAGES_ALL, false, false},
    {"whole lines", LAYOUT_Q4, STAGES_ALL, true, false},
    {"scale first", LAYOUT_PARAMS_FIRST, STAGES_ALL, false, false},
    {"low nibbles first", LAYOUT_LOW_FIRST, STAGES_ALL, false, false},
    {"one line prefetched", LAYOUT_Q4, STAGES_ONE_LINE, false, false},
    {"no prefetch", LAYOUT_Q4, STAGES_NO_PREFETCH, false, false},
    {"no arithmetic", LAYOUT_Q4, STAGES_ALL, false, true},
};

#define N_VARIANTS (sizeof(variants) / sizeof(variants[0]))

/* A table that is read as if in each of the layouts. */
struct table {
    uint8_t *base;
    uint32_t dim;
    struct id_stream ids[2]; /* packed rows; rows of whole lines */
    struct timing timings[N_VARIANTS];
};

static float out[CALL_IDS / BAG * MAX_DIM];
static volatile uint64_t sink;

static size_t stride_of(uint32_t dim, bool lines)
{
    size_t bytes = dim / 2 + 4;
    return lines ? (bytes + 63) / 64 * 64 : bytes;
}

static void run(struct table *table, size_t v)
{
    const struct variant *variant = &variants[v];
    size_t stride = stride_of(table->dim, variant->lines);
    struct layout_job job = {.base = table->base,
                             .stride = stride,
                             .dim = table->dim,
                             .layout = variant->layout,
                             .stages = variant->stages,
                             .n_bags = CALL_IDS / BAG,
                             .bag = BAG};
    const struct nb_rows rows = {.base = table->base, .stride = stride};
    const uint64_t *ids =
        id_stream_take(&table->ids[variant->lines], ROUND_IDS);
    uint64_t start = timing_now_ns();

    for (size_t i = 0; i < ROUND_IDS; i += CALL_IDS) {
        job.ids = ids + i;
        if (variant->touch_only) {
            sink += row_memory_touch(&rows, job.ids, CALL_IDS);
        } else {
            layout_pool_avx512(&job, out);
        }
    }
    timing_add(&table->timings[v], start, ROUND_IDS);
}

static void print(const struct settings *settings, struct table *table,
                  const char *where)
{
    double first = timing_median(&table->timings[0]);
    for (size_t v = 0; v < N_VARIANTS; v++) {
        double ns = timing_median(&table->timings[v]);
        double spread = timing_spread(&table->timings[v]);
        size_t stride = stride_of(table->dim, variants[v].lines);
        printf("%-20s d=%-4u stride=%-4zu %-7s %7.2f ns/row +-%5.2f %6.2fx\n",
               variants[v].name, table->dim, stride, where, ns, spread / 2,
               ns / first);
        if (settings->json != NULL) {
            fprintf(settings->json,
                    "{\"bench\":\"layouts\",\"variant\":\"%s\",\"d\":%u,"
                    "\"stride\":%zu,\"rows\":\"%s\",\"ns_per_row\":%.3f,"
                    "\"spread_ns\":%.3f,\"to_first\":%.3f}\n",
                    variants[v].name, table->dim, stride, where, ns, spread,
                    ns / first);
        }
    }
}

/* As many rows in each layout: padded ones take more memory, as they would. */
static int init_ids(struct table *table, uint64_t n_rows)
{
    for (size_t i = 0; i < 2; i++) {
        if (id_stream_init(&table->ids[i], IDS_UNIFORM, IDS, n_rows) != 0) {
            return -1;
        }
    }
    return 0;
}

static int run_table(const struct settings *settings, uint8_t *base,
                     uint32_t dim, bool cached)
{
    struct table table = {.base = base, .dim = dim};
    uint64_t n_rows =
        cached ? CACHED_ROWS : settings->table_bytes / stride_of(dim, true);
    int rv = init_ids(&table, n_rows);

    for (size_t round = 0; rv == 0 && round < settings->rounds; round++) {
        for (size_t v = 0; v < N_VARIANTS; v++) {
            run(&table, v);
        }
    }
    if (rv == 0) {
        print(settings, &table, cached ? "cached" : "2MiB");
    }
    id_stream_fini(&table.ids[0]);
    id_stream_fini(&table.ids[1]);
    return rv;
}

static int run_all(const struct settings *settings)
{
    static const uint32_t dims[] = {64, 128};
    size_t bytes = settings->table_bytes + 2 * HUGE_PAGE;
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return -1;
    }
    madvise(map, bytes, MADV_HUGEPAGE);
    memset(map, FILL, bytes);
    size_t past = (uintptr_t)map % HUGE_PAGE;
    uint8_t *base = (uint8_t *)map + (past > 0 ? HUGE_PAGE - past : 0);
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < 4; i++) {
        rv = run_table(settings, base, dims[i / 2], i % 2 == 0);
    }
    munmap(map, bytes);
    return rv;
}

int main(int argc, char **argv)
{
    struct settings settings = {.rounds = 21, .table_bytes = (size_t)512 << 20};
    settings_parse(&settings, argc, argv);
    if (!__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl")) {
        puts("bench_layouts: not timed without AVX-512");
        settings_close(&settings);
        return 0;
    }
    int rv = run_all(&settings);
    if (rv != 0) {
        fprintf(stderr, "bench_layouts: no memory for a table of %zu MiB\n",
                settings.table_bytes >> 20);
    }
    settings_close(&settings);
    return rv == 0 ? 0 : 1;
}
#else
int main(void)
{
    puts("bench_layouts: not timed without AVX-512");
    return 0;
}
#endif
