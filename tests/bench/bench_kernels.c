/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Times decoding and pooling through the public calls, for every codec and
 * instruction set in use, in cache and out of it, on 4 KiB and 2 MiB pages.
 * Beside them, in the same rounds, two references: a port of the field's
 * convert and multiply-add kernel (port_avx512.h), and touching the same lines
 * without doing anything, or writing as many bytes as there are results
 * (row_memory.h). Things run in turns, so that a
 * disturbance hits all alike; medians and the middle half are shown.
 *
 *     bench_kernels [--rounds N] [--table-mib N] [--quick | --full]
 *                  [--json FILE]
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/id_stream.h"
#include "tests/bench/row_memory.h"
#include "tests/bench/settings.h"
#include "tests/bench/timing.h"
#if defined(__x86_64__)
#include "tests/bench/port_avx512.h"
#endif

#define CACHED_ROWS 20000u /* 720 KB at d = 64: out of L1, in L2 */
#define POOL_IDS    2000u  /* ids a call, in bags */
#define LOOKUP_IDS  512u   /* ids a call, one by one */
#define CACHED_IDS  ((size_t)1 << 17)
#define TABLE_IDS   ((size_t)1 << 22)
#define MAX_POINTS  24u
#define MAX_DIM     256u

enum what {
    SUM,
    WEIGHTED,
    MEAN,
    MAX,
    ROWS,
    PORT,
    TOUCH,
    TOUCH_WRITE
};

static const char *const what_names[] = {"sum",   "weighted sum", "mean",
                                         "max",   "rows",         "port",
                                         "touch", "touch+write"};
static const char *const dtype_names[] = {"fp32", "fp16", "bf16", "packed"};

/* One thing to time on a table. */
struct point {
    enum what what;
    uint32_t bag; /* ids a bag; 1 for rows and touch */
    uint32_t dtype;
    struct timing timing;
};

/* A table, the ids asked of it, and what is timed. */
struct group {
    const char *codec;
    uint32_t dim;
    bool cached;
    bool huge;
    enum id_shape shape;
    struct row_memory memory;
    struct id_stream ids;
    struct point points[MAX_POINTS];
    size_t n_points;
};

static uint32_t lengths[POOL_IDS];
static float weights[POOL_IDS];
static float out[POOL_IDS * MAX_DIM];
static volatile uint64_t sink;

/* ---- what is timed --------------------------------------------------- */

static uint64_t pool(const struct group *group, const struct point *point,
                     const uint64_t *ids, size_t n)
{
    uint64_t unseen = 0;
    size_t n_bags = n / point->bag;
    for (size_t b = 0; b < n_bags; b++) {
        lengths[b] = point->bag;
    }
    const struct nb_pool request = {
        .ids = {.u64 = ids, .n = n_bags * point->bag},
        .lengths = lengths,
        .n_bags = n_bags,
        .weights = point->what == WEIGHTED ? weights : NULL,
        .pooling = point->what == MAX    ? NB_MAX
                   : point->what == MEAN ? NB_MEAN
                                         : NB_SUM,
        .dtype = point->dtype};
#if defined(__x86_64__)
    if (point->what == PORT) {
        return port_pool(&group->memory.rows, &request, out);
    }
#endif
    int rv = nb_pool(&group->memory.rows, &request, out, &unseen);
    return rv == 0 ? unseen : 1;
}

static uint64_t run(const struct group *group, const struct point *point,
                    const uint64_t *ids, size_t n)
{
    uint64_t unseen = 0;
    if (point->what == TOUCH) {
        return row_memory_touch(&group->memory.rows, ids, n);
    }
    if (point->what == TOUCH_WRITE) {
        return row_memory_touch_write(&group->memory.rows, ids, n, out,
                                      group->dim * sizeof(float));
    }
    if (point->what != ROWS) {
        return pool(group, point, ids, n);
    }
    const struct nb_lookup request = {.ids = {.u64 = ids, .n = n},
                                      .dtype = point->dtype};
    int rv = nb_lookup(&group->memory.rows, &request, out, &unseen);
    return rv == 0 ? unseen : 1;
}

/* A round of a point: as many calls as make the clock exact. */
static void time_point(struct group *group, struct point *point)
{
    size_t per_call =
        point->bag == 1 && point->what != TOUCH ? LOOKUP_IDS : POOL_IDS;
    size_t calls = (group->cached ? 100000 : 200000) / per_call;
    const uint64_t *ids = id_stream_take(&group->ids, calls * per_call);
    uint64_t start = timing_now_ns();
    for (size_t i = 0; i < calls; i++) {
        sink += run(group, point, ids + i * per_call, per_call);
    }
    timing_add(&point->timing, start, calls * per_call);
}

/* ---- groups ---------------------------------------------------------- */

static void add(struct group *group, enum what what, uint32_t bag,
                uint32_t dtype)
{
    if (group->n_points < MAX_POINTS) {
        group->points[group->n_points++] =
            (struct point){.what = what, .bag = bag, .dtype = dtype};
    }
}

static bool has_port(const struct group *group)
{
#if defined(__x86_64__)
    return strcmp(group->codec, "q4") == 0 &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
#else
    (void)group;
    return false;
#endif
}

static void add_points(struct group *group, bool every_op)
{
    static const uint32_t bags[] = {20, 100};
    group->n_points = 0;
    add(group, TOUCH, 1, NB_FP32);
    add(group, TOUCH_WRITE, 1, NB_FP32);
    add(group, ROWS, 1, NB_FP32);
    if (has_port(group)) {
        add(group, PORT, 1, NB_FP32);
    }
    for (size_t i = 0; i < sizeof(bags) / sizeof(bags[0]); i++) {
        add(group, SUM, bags[i], NB_FP32);
        if (has_port(group)) {
            add(group, PORT, bags[i], NB_FP32);
        }
    }
    if (every_op) {
        add(group, WEIGHTED, 20, NB_FP32);
        add(group, MEAN, 20, NB_FP32);
        add(group, MAX, 20, NB_FP32);
        add(group, SUM, 20, NB_FP16);
        add(group, SUM, 20, NB_BF16);
        add(group, ROWS, 1, NB_FP16);
        add(group, ROWS, 1, NB_BF16);
        add(group, ROWS, 1, NB_PACKED);
    }
}

/* The reference of a point: of the same bag, or of any. NULL if not timed. */
static struct point *reference(struct group *group, enum what what,
                               uint32_t bag)
{
    for (size_t i = 0; i < group->n_points; i++) {
        struct point *point = &group->points[i];
        if (point->what == what && (bag == 0 || point->bag == bag)) {
            return point;
        }
    }
    return NULL;
}

static void print_point(const struct settings *settings, struct group *group,
                        struct point *point, const char *isa)
{
    struct point *port = reference(group, PORT, point->bag);
    struct point *touch = reference(group, TOUCH, 0);
    struct point *write = reference(group, TOUCH_WRITE, 0);
    double ns = timing_median(&point->timing);
    double spread = timing_spread(&point->timing);
    double gb_per_s = (double)group->memory.rows.stride / ns;
    double port_ns = port != NULL && point->dtype == NB_FP32
                         ? timing_median(&port->timing)
                         : 0;
    double touch_ns = timing_median(&touch->timing);
    double write_ns = timing_median(&write->timing);
    const char *where = group->cached ? "cached"
                        : group->huge ? "2MiB"
                                      : "4KiB";
    const char *ids = group->shape == IDS_ZIPF ? "zipf" : "uniform";
    bool own = point->what < PORT;
    char by_port[16] = "-";
    if (port_ns > 0) {
        snprintf(by_port, sizeof(by_port), "%.2fx", port_ns / ns);
    }
    printf("%-12s %-10s %-7s d=%-4u bag=%-4u %-6s %-6s %-7s %7.2f +-%5.2f "
           "%6.2f %7s %7.2fx\n",
           what_names[point->what], group->codec, own ? isa : "-", group->dim,
           point->bag, dtype_names[point->dtype], where, ids, ns, spread / 2,
           gb_per_s, by_port, ns / touch_ns);
    if (settings->json != NULL) {
        fprintf(settings->json,
                "{\"bench\":\"kernels\",\"op\":\"%s\",\"codec\":\"%s\","
                "\"isa\":\"%s\",\"d\":%u,\"bag\":%u,\"dtype\":\"%s\","
                "\"table_bytes\":%zu,\"pages\":\"%s\",\"ids\":\"%s\","
                "\"ns_per_row\":%.3f,\"spread_ns\":%.3f,\"gb_per_s\":%.3f,"
                "\"port_ns\":%.3f,\"touch_ns\":%.3f,"
                "\"touch_write_ns\":%.3f}\n",
                what_names[point->what], group->codec, isa, group->dim,
                point->bag, dtype_names[point->dtype],
                (size_t)group->memory.rows.n_rows * group->memory.rows.stride,
                where, ids, ns, spread, gb_per_s, port_ns, touch_ns, write_ns);
        fflush(settings->json);
    }
}

static int open_group(const struct settings *settings, struct group *group)
{
    struct nb_format format = {.dim = group->dim, .scales = NB_SCALES_FP16};
    size_t row_bytes;
    if (nb_codec_by_name(group->codec, &format.codec) != 0) {
        return -1;
    }
    if (nb_row_bytes(&format, &row_bytes) != 0) {
        format.scales = NB_SCALES_FP32; /* the codec has no other */
    }
    if (nb_row_bytes(&format, &row_bytes) != 0) {
        return -1;
    }
    uint64_t n_rows =
        group->cached ? CACHED_ROWS : settings->table_bytes / row_bytes;
    if (row_memory_init(&group->memory, &format, n_rows, group->huge) != 0) {
        return -1;
    }
    if (id_stream_init(&group->ids, group->shape,
                       group->cached ? CACHED_IDS : TABLE_IDS, n_rows) != 0) {
        row_memory_fini(&group->memory);
        return -1;
    }
    return 0;
}

static int run_group(const struct settings *settings, struct group *group,
                     bool every_op)
{
    add_points(group, every_op);
    if (open_group(settings, group) != 0) {
        fprintf(stderr, "bench_kernels: cannot make a table of %s, d=%u\n",
                group->codec, group->dim);
        return -1;
    }
    for (size_t round = 0; round < settings->rounds; round++) {
        for (size_t i = 0; i < group->n_points; i++) {
            time_point(group, &group->points[i]);
        }
    }
    for (size_t i = 0; i < group->n_points; i++) {
        print_point(settings, group, &group->points[i], nb_isa());
    }
    fflush(stdout);
    id_stream_fini(&group->ids);
    row_memory_fini(&group->memory);
    return 0;
}

/* ---- what is run ----------------------------------------------------- */

static int run_cached(const struct settings *settings)
{
    static const uint32_t dims[] = {32, 64, 128, 256};
    struct group group = {.codec = "q4", .cached = true, .huge = true};
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < sizeof(dims) / sizeof(dims[0]); i++) {
        group.dim = dims[i];
        rv = run_group(settings, &group, dims[i] == 64);
    }
    group.dim = 64;
    for (size_t i = 0; rv == 0 && nb_codec_at(i) != NULL; i++) {
        group.codec = nb_codec_at(i);
        if (strcmp(group.codec, "q4") != 0) {
            rv = run_group(settings, &group, true);
        }
    }
    return rv;
}

static int run_tables(const struct settings *settings)
{
    static const uint32_t dims[] = {64, 128};
    int rv = 0;
    for (int bits = 0; rv == 0 && bits < 8; bits++) {
        struct group group = {.codec = "q4",
                              .dim = dims[bits >> 2],
                              .huge = (bits & 2) != 0,
                              .shape =
                                  (bits & 1) != 0 ? IDS_ZIPF : IDS_UNIFORM};
        rv = run_group(settings, &group, group.huge);
    }
    struct group group = {.dim = 64, .huge = true};
    for (size_t i = 0; rv == 0 && nb_codec_at(i) != NULL; i++) {
        group.codec = nb_codec_at(i);
        if (strcmp(group.codec, "q4") != 0) {
            rv = run_group(settings, &group, true);
        }
    }
    return rv;
}

/* The library chooses its kernels once a process, so each choice has its own.
 * The first one finds everything there. */
static int run_without(const struct settings *settings, const char *disabled)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): a new process, no threads */
        setenv("NB_ISA_DISABLE", disabled, 1);
        int rv = run_cached(settings);
        _exit(rv == 0 && run_tables(settings) == 0 ? 0 : 1);
    }
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("bench_kernels");
        return -1;
    }
    return status == 0 ? 0 : -1;
}

static int run_isas(const struct settings *settings)
{
#if defined(__x86_64__)
    static const char *const choices[] = {"", "avx512", "avx512,avx2"};
    bool there[] = {__builtin_cpu_supports("avx512bw") != 0,
                    __builtin_cpu_supports("avx2") != 0, true};
#else
    static const char *const choices[] = {""};
    bool there[] = {true};
#endif
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < sizeof(there) / sizeof(there[0]); i++) {
        if (there[i]) {
            rv = run_without(settings, choices[i]);
        }
    }
    return rv;
}

int main(int argc, char **argv)
{
    struct settings settings = {.rounds = 7, .table_bytes = (size_t)512 << 20};
    settings_parse(&settings, argc, argv);
    for (size_t i = 0; i < POOL_IDS; i++) {
        weights[i] = 0.5f + (float)(i % 7) / 4;
    }
    printf("%-12s %-10s %-7s %-6s %-8s %-6s %-6s %-7s %7s %7s %6s %7s %8s\n",
           "op", "codec", "isa", "dim", "bag", "to", "rows", "ids", "ns/row",
           "+-", "GB/s", "port/it", "it/touch");
    int rv = run_isas(&settings);
    settings_close(&settings);
    return rv == 0 ? 0 : 1;
}
