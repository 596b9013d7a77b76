/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Times random rows of a table that is kept in memory in each of the ways there
 * are: q4 rows of dim 64, packed and as sums of 32. Each way is a table of its
 * own that is open all the time, and they take turns; medians of the thread's
 * own time, and how long it took to be ready.
 *
 *     bench_residency [--rounds N] [--table-mib N] [--full] [--json FILE]
 *
 * Tables are of 4 GiB, or of what memory has room for, if nothing is said.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/nibble.h"
#include "tests/bench/disk_table.h"
#include "tests/bench/id_stream.h"
#include "tests/bench/settings.h"
#include "tests/bench/timing.h"

#define BATCH   4096u
#define BATCHES 64u /* a round */
#define STREAM  (1u << 22)
#define BAG     32u
#define WAYS    4u

#define TABLE_BYTES     ((size_t)4 << 30)
#define MIN_TABLE_BYTES ((size_t)64 << 20)

struct way {
    struct table *table; /* NULL: the system refuses */
    double ready_s;
    struct timing packed;
    struct timing sums;
};

static void ask_packed(const struct table *table, const uint64_t *ids,
                       float *out)
{
    const struct nb_lookup lookup = {.ids = {.u64 = ids, .n = BATCH},
                                     .dtype = NB_PACKED};
    uint64_t unseen = 1;
    if (nb_lookup(table_rows(table), &lookup, out, &unseen) != 0 ||
        unseen != 0) {
        abort();
    }
}

static void ask_sums(const struct table *table, const uint64_t *ids, float *out)
{
    uint32_t lengths[BATCH / BAG];
    for (size_t i = 0; i < BATCH / BAG; i++) {
        lengths[i] = BAG;
    }
    const struct nb_pool pool = {.ids = {.u64 = ids, .n = BATCH},
                                 .lengths = lengths,
                                 .n_bags = BATCH / BAG};
    uint64_t unseen = 1;
    if (nb_pool(table_rows(table), &pool, out, &unseen) != 0 || unseen != 0) {
        abort();
    }
}

static void time_way(struct way *way, struct id_stream *ids, float *out)
{
    uint64_t start = timing_now_ns();
    for (size_t i = 0; i < BATCHES; i++) {
        ask_packed(way->table, id_stream_take(ids, BATCH), out);
    }
    timing_add(&way->packed, start, (size_t)BATCHES * BATCH);
    start = timing_now_ns();
    for (size_t i = 0; i < BATCHES; i++) {
        ask_sums(way->table, id_stream_take(ids, BATCH), out);
    }
    timing_add(&way->sums, start, (size_t)BATCHES * BATCH);
}

static void print_way(const struct settings *settings, struct way *way,
                      size_t i)
{
    const char *name = table_residency_at(i);
    double packed = timing_median(&way->packed);
    double sums = timing_median(&way->sums);
    double huge = (double)table_huge_bytes(way->table) * 0x1p-20;
    printf("%-9s packed rows %7.2f ns/id   sums of 32 rows %7.2f ns/id   "
           "ready in %.2f s   %.0f MiB on 2 MiB pages\n",
           name, packed, sums, way->ready_s, huge);
    if (settings->json != NULL) {
        fprintf(settings->json,
                "{\"bench\":\"residency\",\"residency\":\"%s\","
                "\"table_bytes\":%zu,"
                "\"packed_ns\":%.3f,\"sum_ns\":%.3f,\"ready_s\":%.3f,"
                "\"huge_mib\":%.0f}\n",
                name, settings->table_bytes, packed, sums, way->ready_s, huge);
    }
}

static void run(const struct settings *settings, struct way *ways,
                struct id_stream *ids, float *out)
{
    for (size_t i = 0; i < WAYS; i++) {
        ways[i].packed.n = 0;
        ways[i].sums.n = 0;
    }
    for (size_t round = 0; round < settings->rounds; round++) {
        for (size_t i = 0; i < WAYS; i++) {
            if (ways[i].table != NULL) {
                time_way(&ways[i], ids, out);
            }
        }
    }
    for (size_t i = 0; i < WAYS; i++) {
        if (ways[i].table != NULL) {
            print_way(settings, &ways[i], i);
        }
    }
    struct way *map = &ways[RESIDENCY_MAP];
    struct way *huge = &ways[RESIDENCY_HUGE];
    if (map->table != NULL && huge->table != NULL) {
        printf("huge against map: packed rows %.2fx, sums of 32 rows %.2fx as "
               "fast\n",
               timing_median(&map->packed) / timing_median(&huge->packed),
               timing_median(&map->sums) / timing_median(&huge->sums));
    }
}

/* Bytes that can be had without swapping; 0: that is not known. */
static size_t available_bytes(void)
{
    char line[128];
    size_t kib = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && kib == 0 &&
           fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "MemAvailable:", strlen("MemAvailable:")) == 0) {
            kib = strtoul(line + strlen("MemAvailable:"), NULL, 10);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib << 10;
}

/* The file in the page cache and the copy that `huge` makes, and as much as
 * half of one to spare for everybody else. */
static size_t choose_table_bytes(void)
{
    size_t available = available_bytes();
    size_t bytes = available / 5 * 2 >> 20 << 20;
    if (bytes >= TABLE_BYTES) {
        return TABLE_BYTES;
    }
    bytes = bytes > MIN_TABLE_BYTES ? bytes : MIN_TABLE_BYTES;
    printf("%zu MiB of memory are available: tables are not of %zu MiB, but "
           "of %zu\n",
           available >> 20, TABLE_BYTES >> 20, bytes >> 20);
    return bytes;
}

int main(int argc, char **argv)
{
    static struct way ways[WAYS];
    struct settings settings = {.rounds = 9};
    struct disk_table made;
    struct id_stream ids;
    settings_parse(&settings, argc, argv);
    if (settings.table_bytes == 0) {
        settings.table_bytes = choose_table_bytes();
    }
    uint64_t n_rows = settings.table_bytes / disk_table_row_bytes();
    float *out = malloc(sizeof(float) * BATCH * DISK_TABLE_DIM);
    if (out == NULL || id_stream_init(&ids, IDS_UNIFORM, STREAM, n_rows) != 0) {
        abort();
    }
    disk_table_make(&made, n_rows, false);
    printf("%" PRIu64 " rows, %.0f MiB\n", n_rows,
           (double)settings.table_bytes * 0x1p-20);
    for (size_t i = 0; i < WAYS; i++) {
        ways[i].table =
            disk_table_again(&made, (enum table_residency)i, &ways[i].ready_s);
    }
    run(&settings, ways, &ids, out);
    for (size_t i = 0; i < WAYS; i++) {
        table_close(ways[i].table);
    }
    disk_table_fini(&made);
    id_stream_fini(&ids);
    free(out);
    settings_close(&settings);
    return 0;
}
