/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Times finding rows by 64-bit keys beside finding them by number: the same q4
 * rows of dim 64 in a dense and in a keyed table, random ids that are there,
 * both files in memory. Then other ways to find a row by its key, which copy
 * rows as NB_PACKED does. All run in turns; medians of the thread's own time.
 *
 *     bench_keyed [--rounds N] [--table-mib N] [--full] [--json FILE]
 *
 * --table-mib 1717 makes 50 million rows.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "quant/nibble.h"
#include "tests/bench/disk_table.h"
#include "tests/bench/id_stream.h"
#include "tests/bench/key_rivals.h"
#include "tests/bench/settings.h"
#include "tests/bench/timing.h"

#define BATCH   4096u
#define BATCHES 64u /* a round */
#define STREAM  (1u << 22)
#define BAG     32u

enum what {
    PACKED,
    FP32,
    SUM,
    N_WHATS
};

static const char *const whats[] = {"packed rows", "fp32 rows",
                                    "sums of 32 rows"};

struct bench {
    struct disk_table dense;
    struct disk_table keyed;
    struct id_stream numbers;
    struct id_stream keys; /* of the same rows */
    float *out;
};

static void ask(const struct bench *bench, const struct disk_table *table,
                enum what what, const uint64_t *ids)
{
    static uint32_t lengths[BATCH / BAG];
    const struct nb_rows *rows = table_rows(table->table);
    const struct nb_ids list = {.u64 = ids, .n = BATCH};
    uint64_t unseen = 1;
    int rv;
    if (what == SUM) {
        for (size_t i = 0; i < BATCH / BAG; i++) {
            lengths[i] = BAG;
        }
        const struct nb_pool pool = {
            .ids = list, .lengths = lengths, .n_bags = BATCH / BAG};
        rv = nb_pool(rows, &pool, bench->out, &unseen);
    } else {
        const struct nb_lookup lookup = {
            .ids = list, .dtype = what == PACKED ? NB_PACKED : NB_FP32};
        rv = nb_lookup(rows, &lookup, bench->out, &unseen);
    }
    if (rv != 0 || unseen != 0) {
        abort();
    }
}

static void time_table(const struct bench *bench,
                       const struct disk_table *table, enum what what,
                       struct id_stream *ids, struct timing *timing)
{
    uint64_t start = timing_now_ns();
    for (size_t i = 0; i < BATCHES; i++) {
        ask(bench, table, what, id_stream_take(ids, BATCH));
    }
    timing_add(timing, start, (size_t)BATCHES * BATCH);
}

static void print_ratio(const struct settings *settings, const char *pages,
                        enum what what, double dense, double keyed)
{
    printf("%-9s %-16s dense %7.2f ns/id   keyed %7.2f ns/id   %.2fx the "
           "rate\n",
           pages, whats[what], dense, keyed, dense / keyed);
    if (settings->json != NULL) {
        fprintf(settings->json,
                "{\"bench\":\"keyed\",\"pages\":\"%s\",\"what\":\"%s\","
                "\"dense_ns\":%.3f,\"keyed_ns\":%.3f}\n",
                pages, whats[what], dense, keyed);
    }
}

static void run_tables(const struct settings *settings, struct bench *bench,
                       enum table_residency residency)
{
    static struct timing dense[N_WHATS];
    static struct timing keyed[N_WHATS];
    if (!disk_table_reside(&bench->dense, residency) ||
        !disk_table_reside(&bench->keyed, residency)) {
        return;
    }
    for (int what = 0; what < N_WHATS; what++) {
        dense[what].n = 0;
        keyed[what].n = 0;
    }
    for (size_t round = 0; round < settings->rounds; round++) {
        for (int what = 0; what < N_WHATS; what++) {
            time_table(bench, &bench->dense, what, &bench->numbers,
                       &dense[what]);
            time_table(bench, &bench->keyed, what, &bench->keys, &keyed[what]);
        }
    }
    for (int what = 0; what < N_WHATS; what++) {
        print_ratio(settings, table_residency_at(residency), what,
                    timing_median(&dense[what]), timing_median(&keyed[what]));
    }
}

static void run_rival(const struct settings *settings, struct bench *bench,
                      enum key_rival kind)
{
    static struct timing timing;
    struct key_rival_table rival;
    uint64_t n_rows = table_rows(bench->keyed.table)->n_rows;
    if (key_rival_init(&rival, kind, n_rows, disk_table_row_bytes()) != 0) {
        fprintf(stderr, "%s: no memory\n", key_rival_name(kind));
        return;
    }
    timing.n = 0;
    for (size_t round = 0; round < settings->rounds; round++) {
        uint64_t start = timing_now_ns();
        for (size_t i = 0; i < BATCHES; i++) {
            if (key_rival_lookup(&rival, id_stream_take(&bench->keys, BATCH),
                                 BATCH, (uint8_t *)bench->out) != 0) {
                abort();
            }
        }
        timing_add(&timing, start, (size_t)BATCHES * BATCH);
    }
    double ns = timing_median(&timing);
    double bytes = (double)rival.index_bytes / (double)n_rows;
    printf("4 KiB     packed rows      %s %.2f ns/id, %.2f bytes a key\n",
           key_rival_name(kind), ns, bytes);
    if (settings->json != NULL) {
        fprintf(settings->json,
                "{\"bench\":\"keyed\",\"rival\":\"%s\",\"ns\":%.3f,"
                "\"bytes_per_key\":%.3f}\n",
                key_rival_name(kind), ns, bytes);
    }
    key_rival_fini(&rival);
}

static void make_ids(struct bench *bench, uint64_t n_rows)
{
    if (id_stream_init(&bench->numbers, IDS_UNIFORM, STREAM, n_rows) != 0 ||
        id_stream_init(&bench->keys, IDS_UNIFORM, STREAM, n_rows) != 0) {
        abort();
    }
    for (size_t i = 0; i < STREAM; i++) {
        bench->keys.ids[i] = disk_table_key(bench->keys.ids[i]);
    }
}

int main(int argc, char **argv)
{
    struct settings settings = {.rounds = 9, .table_bytes = (size_t)512 << 20};
    struct bench bench = {.out = NULL};
    settings_parse(&settings, argc, argv);
    uint64_t n_rows = settings.table_bytes / disk_table_row_bytes();
    bench.out = malloc(sizeof(float) * BATCH * DISK_TABLE_DIM);
    if (bench.out == NULL) {
        abort();
    }
    disk_table_make(&bench.dense, n_rows, false);
    disk_table_make(&bench.keyed, n_rows, true);
    printf("%" PRIu64 " rows: written in %.1f s dense, in %.1f s keyed; "
           "%.3f bytes of index a key\n",
           n_rows, bench.dense.seconds, bench.keyed.seconds,
           (double)bench.keyed.keys_bytes / (double)n_rows);
    make_ids(&bench, n_rows);
    run_tables(&settings, &bench, RESIDENCY_POPULATE);
    for (int kind = 0; kind < N_RIVALS; kind++) {
        run_rival(&settings, &bench, kind);
    }
    run_tables(&settings, &bench, RESIDENCY_HUGE);
    disk_table_fini(&bench.dense);
    disk_table_fini(&bench.keyed);
    id_stream_fini(&bench.numbers);
    id_stream_fini(&bench.keys);
    free(bench.out);
    settings_close(&settings);
    return 0;
}
