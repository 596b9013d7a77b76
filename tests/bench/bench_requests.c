/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * What nibbled computes of a request, without its sockets: frames of the
 * profiles go into a session, and replies are dropped as if they were sent.
 * Requests are alike but for their ids: many in a read, 64 or 32 KiB, as a
 * pipelining client has it; one; and one that is decoded as if none like it had
 * come before, with what it takes to forget them.
 * The tables are in the L3 cache, ids zipf(0.9). Medians of the thread's own
 * time; the copy that a socket would make of the request is in it.
 *
 *     bench_requests [--rounds N] [--json FILE]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "client/bench/request_set.h"
#include "server/models/table_set.h"
#include "server/request/plans.h"
#include "server/request/session.h"
#include "tests/bench/disk_table.h"
#include "tests/bench/settings.h"
#include "tests/bench/timing.h"

#define TABLE_ROWS    UINT64_C(200000)
#define REQUEST_BYTES ((size_t)4 << 20)
#define READ_BYTES    ((size_t)32 << 10)
#define ROUND_IDS     200000u /* asked for by the requests of a round */
#define WAYS          3u

static const struct way {
    const char *name;
    size_t depth; /* most requests of a read */
    bool is_new;  /* none like it came before */
} ways[WAYS] = {
    {"many a read", 64, false},
    {"1 a read", 1, false},
    {"1 a read, decoded", 1, true},
};

static const struct load {
    const char *name;
    const char *profile;
    uint32_t dtype;
} loads[] = {{"point", "point", NB_FP32},
             {"rows, packed", "rows", NB_PACKED},
             {"rows, fp32", "rows", NB_FP32},
             {"ranking", "ranking", NB_FP32}};

static struct {
    struct options options;
    struct service_common common;
    struct counters counters;
    struct buf_budget budget;
    struct service service;
    struct session session;
    struct disk_table table;
    struct workload workload;
    struct request_set set;
    size_t next; /* request */
} bench;

static void must(int rv, const struct nb_errctx *err)
{
    if (rv != 0) {
        fprintf(stderr, "bench_requests: %s: %s\n", err->text, nb_strerror(rv));
        abort();
    }
}

static const char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

/* ---- what is asked, and who ------------------------------------------- */

/* Every table of the profile is the same file. */
static struct catalog *make_catalog(void)
{
    struct nb_errctx err = {"the tables"};
    struct table_set *set;
    struct catalog *catalog;
    double seconds;
    must(table_set_create(bench.workload.profile, 1, 1, &set), &err);
    for (size_t i = 0; i < bench.workload.n_tables; i++) {
        struct workload_table *table = &bench.workload.tables[i];
        table->rows = TABLE_ROWS / bench.workload.n_tables;
        must(table_set_take(
                 set, table->name,
                 disk_table_again(&bench.table, RESIDENCY_MAP, &seconds), &err),
             &err);
    }
    must(catalog_create(&catalog), &err);
    must(catalog_add(catalog, set, CATALOG_FILES), &err);
    return catalog;
}

static void make_requests(void)
{
    struct nb_errctx err = {"the requests"};
    struct id_choice choice;
    const char *trace;
    must(id_choice_parse("zipf:0.9", &choice, &trace, &err), &err);
    const struct request_set_options options = {.workload = &bench.workload,
                                                .choice = &choice,
                                                .seed = 1,
                                                .n_threads = 1,
                                                .bytes = REQUEST_BYTES,
                                                .timeout_ms = 1000};
    must(request_set_init(&bench.set, &options, &err), &err);
}

static void open_load(const struct load *load)
{
    char *argv[] = {"nibbled", "--table", "a=b", NULL};
    struct nb_errctx err = {"the service"};
    enum options_action action;
    const struct workload_options options = {.model = load->profile,
                                             .dtype = load->dtype};
    must(workload_of_profile(profile_by_name(load->profile), &options,
                             &bench.workload, &err),
         &err);
    must(options_parse(&bench.options, 3, argv, no_environment, &action, &err),
         &err);
    bench.budget = (struct buf_budget){.max = bench.options.max_memory_bytes};
    bench.common = (struct service_common){.options = &bench.options,
                                           .counters = &bench.counters,
                                           .budget = &bench.budget,
                                           .n_loops = 1};
    struct catalog *catalog = make_catalog();
    must(service_init(&bench.service, &bench.common, 0, catalog, uv_hrtime),
         &err);
    catalog_unref(catalog);
    bench.service.probe_until_ns = 0; /* nothing is cold */
    bench.service.takes_turns = true;
    session_init(&bench.session, &bench.service);
    make_requests();
    bench.next = 0;
}

static void close_load(void)
{
    request_set_fini(&bench.set);
    session_fini(&bench.session);
    service_fini(&bench.service);
    workload_fini(&bench.workload);
}

/* ---- asking ----------------------------------------------------------- */

static size_t put_frame(uint8_t *to)
{
    const struct request_body *body = &bench.set.bodies[bench.next];
    const struct frame_header header = {.kind = FRAME_REQUEST,
                                        .method = bench.workload.method,
                                        .request_id = 1,
                                        .body_bytes = (uint32_t)body->bytes};
    frame_header_put(to, &header);
    memcpy(to + FRAME_HEADER_BYTES, body->data, body->bytes);
    bench.next = bench.next + 1 == bench.set.n ? 0 : bench.next + 1;
    return FRAME_HEADER_BYTES + body->bytes;
}

/* One read; returns how many were answered. */
static size_t ask(const struct way *way)
{
    struct nb_errctx err = {"a request"};
    size_t most = READ_BYTES / bench.set.bodies[0].bytes;
    size_t depth = most < way->depth ? most : way->depth;
    void *window;
    size_t room;
    must(session_window(&bench.session, &window, &room), &err);
    depth = depth > 1 ? depth : 1;
    size_t bytes = 0;
    for (size_t i = 0; i < depth; i++) {
        bytes += put_frame((uint8_t *)window + bytes);
    }
    if (way->is_new) {
        plans_forget(bench.service.plans);
    }
    session_received(&bench.session, bytes, service_turn_ns(&bench.service));
    if (bench.session.ended || bench.session.out.n_replies != depth) {
        must(NB_ERR_INVALID, &bench.session.why);
    }
    session_sent(&bench.session, bench.session.out.bytes);
    service_end_turn(&bench.service);
    return depth;
}

static void time_way(const struct way *way, struct timing *timing)
{
    size_t most = ROUND_IDS / bench.workload.n_ids;
    size_t n = 0;
    uint64_t start = timing_now_ns();
    while (n < most) {
        n += ask(way);
    }
    timing_add(timing, start, n);
}

static void run_load(const struct settings *settings, const struct load *load)
{
    struct timing timings[WAYS] = {0};
    open_load(load);
    for (size_t round = 0; round < settings->rounds; round++) {
        for (size_t i = 0; i < WAYS; i++) {
            time_way(&ways[i], &timings[i]);
        }
    }
    printf("%-14s", load->name);
    for (size_t i = 0; i < WAYS; i++) {
        double ns = timing_median(&timings[i]);
        printf("   %s %7.0f ns", ways[i].name, ns);
        if (settings->json != NULL) {
            fprintf(settings->json,
                    "{\"bench\":\"requests\",\"load\":\"%s\",\"way\":\"%s\","
                    "\"ns\":%.1f}\n",
                    load->name, ways[i].name, ns);
        }
    }
    printf("\n");
    close_load();
}

int main(int argc, char **argv)
{
    struct settings settings = {.rounds = 31};
    settings_parse(&settings, argc, argv);
    disk_table_make(&bench.table, TABLE_ROWS, false);
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
        run_load(&settings, &loads[i]);
    }
    disk_table_fini(&bench.table);
    settings_close(&settings);
    return 0;
}
