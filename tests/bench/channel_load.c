/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * What a channel costs: keeps `depth` calls of a profile unanswered, each with
 * memory of its own for the values, on one loop, and tells how many were
 * answered and what they cost here. Against static_server, which costs next to
 * nothing itself, that is what the library can do.
 *     channel_load --server ADDRESS... [--profile point] [--depth 64]
 *                  [--connections 4] [--ms 2000] [--rows N]
 *                  [--silence-ms 10000]
 * --server may be given again, for replicas.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <uv.h>

#include "client/bench/workload.h"
#include "proto/frame.h"

#define SERVERS_MAX 8

struct load {
    const char *servers[SERVERS_MAX];
    size_t n_servers;
    struct nb_channel *channel;
    struct nb_channel_counts counts; /* at the end */
    struct workload workload;
    uint64_t until; /* uv_hrtime() */
    uint64_t n_calls;
    uint64_t n_failed;
    uint64_t rows;   /* of a table; 0: those of the profile */
    uint32_t n_left; /* calls that are not done */
    char why[256];
};

struct slot {
    struct load *load;
    struct nb_target target;
};

static void *must(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "channel_load: no memory\n");
        exit(1); /* NOLINT(concurrency-mt-unsafe): one thread */
    }
    return memory;
}

static void die(const struct nb_errctx *err)
{
    fprintf(stderr, "channel_load: %s\n", err->text);
    exit(1); /* NOLINT(concurrency-mt-unsafe): one thread */
}

static void start(struct slot *slot);

static void on_done(void *arg, const struct nb_outcome *outcome)
{
    struct slot *slot = arg;
    struct load *load = slot->load;
    load->n_calls++;
    if (outcome->code != 0) {
        load->n_failed++;
        snprintf(load->why, sizeof(load->why), "%s", outcome->message);
    }
    if (uv_hrtime() < load->until && outcome->code == 0) {
        start(slot);
    } else if (--load->n_left == 0) {
        nb_channel_count(load->channel, &load->counts);
        nb_channel_close(load->channel, NULL, NULL);
    }
}

static void start(struct slot *slot)
{
    struct load *load = slot->load;
    const struct nb_call_options options = {.matrix = &slot->target};
    struct nb_errctx err;
    int rv = workload_is_pool(&load->workload)
                 ? nb_channel_pool(load->channel, &load->workload.request,
                                   &options, on_done, slot, NULL, &err)
                 : nb_channel_lookup(load->channel, &load->workload.request,
                                     &options, on_done, slot, NULL, &err);
    if (rv != 0) {
        die(&err);
    }
}

/* Every request asks the same: the server does not look. Ids are of 64 bits and
 * small, as most are. */
static void make_request(struct load *load, const char *name)
{
    const struct profile *profile = profile_by_name(name);
    struct nb_errctx err;
    if (profile == NULL) {
        nb_fail(&err, 0, "no profile '%s'", name);
        die(&err);
    }
    const struct workload_options options = {.dtype = NB_FP32};
    if (workload_of_profile(profile, &options, &load->workload, &err) != 0) {
        die(&err);
    }
    uint64_t *ids = must(calloc(load->workload.n_ids, sizeof(*ids)));
    for (size_t i = 0; i < load->workload.n_ids; i++) {
        ids[i] = i * 7919 % (load->rows != 0 ? load->rows : profile->rows);
    }
    for (size_t i = 0; i < load->workload.n_tables; i++) {
        load->workload.features[i].ids.u64 = ids;
    }
}

static struct slot *make_slots(struct load *load, uint32_t depth,
                               const struct profile *profile)
{
    size_t rows = profile->samples;
    if (!workload_is_pool(&load->workload)) {
        rows *= profile_bag(profile, 0);
    }
    size_t bytes = rows * profile->n_tables * profile->dim * sizeof(float);
    struct slot *slots = must(calloc(depth, sizeof(*slots)));
    for (uint32_t i = 0; i < depth; i++) {
        slots[i] = (struct slot){load, {must(malloc(bytes)), bytes}};
    }
    return slots;
}

static double processor_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int run(struct load *load, const char *profile, uint32_t depth,
               const struct nb_channel_options *options, uint32_t ms)
{
    uv_loop_t loop;
    struct nb_errctx err;
    make_request(load, profile);
    struct slot *slots = make_slots(load, depth, profile_by_name(profile));
    uv_loop_init(&loop);
    if (nb_channel_open_loop(&loop, load->servers, load->n_servers, options,
                             &load->channel, &err) != 0) {
        die(&err);
    }
    uint64_t begun = uv_hrtime();
    double processor = processor_s();
    load->until = begun + (uint64_t)ms * 1000000;
    load->n_left = depth;
    for (uint32_t i = 0; i < depth; i++) {
        start(&slots[i]);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    double seconds = (double)(uv_hrtime() - begun) * 1e-9;
    double n = (double)load->n_calls;
    printf("%s, %u deep over %u connections: %.0f calls/s, %.2f us of "
           "processor a call, mean latency %.0f us, %llu retries\n",
           profile, depth, options->connections, n / seconds,
           (processor_s() - processor) / n * 1e6, seconds * depth / n * 1e6,
           (unsigned long long)load->counts.retries);
    if (load->n_failed > 0) {
        fprintf(stderr, "channel_load: %llu calls failed: %s\n",
                (unsigned long long)load->n_failed, load->why);
    }
    for (uint32_t i = 0; i < depth; i++) {
        free(slots[i].target.values);
    }
    free(slots);
    free((void *)load->workload.features[0].ids.u64);
    workload_fini(&load->workload);
    uv_loop_close(&loop);
    return load->n_failed > 0 ? 1 : 0;
}

static uint32_t number(const char *text, uint32_t max)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < 1 || value > max) {
        struct nb_errctx err;
        nb_fail(&err, 0, "%.64s is not 1 to %u", text, max);
        die(&err);
    }
    return (uint32_t)value;
}

int main(int argc, char **argv)
{
    static const struct option rows[] = {
        {"server", required_argument, NULL, 's'},
        {"profile", required_argument, NULL, 'p'},
        {"depth", required_argument, NULL, 'd'},
        {"connections", required_argument, NULL, 'c'},
        {"ms", required_argument, NULL, 'm'},
        {"rows", required_argument, NULL, 'r'},
        {"silence-ms", required_argument, NULL, 'q'},
        {NULL, 0, NULL, 0},
    };
    static struct load load;
    struct nb_channel_options options = {.connections = 4};
    const char *profile = "point";
    uint32_t depth = 64;
    uint32_t ms = 2000;
    int row;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    while ((row = getopt_long(argc, argv, "", rows, NULL)) != -1) {
        if (row == 's' && load.n_servers < SERVERS_MAX) {
            load.servers[load.n_servers++] = optarg;
        } else if (row == 'p') {
            profile = optarg;
        } else if (row == 'd') {
            depth = number(optarg, 65536);
        } else if (row == 'c') {
            options.connections = number(optarg, 256);
        } else if (row == 'm') {
            ms = number(optarg, 3600000);
        } else if (row == 'r') {
            load.rows = number(optarg, UINT32_MAX);
        } else if (row == 'q') {
            options.silence_ms = number(optarg, 3600000);
        } else {
            return 2;
        }
    }
    if (load.n_servers == 0) {
        fprintf(stderr, "channel_load: --server ADDRESS is missing\n");
        return 2;
    }
    options.max_calls = depth;
    return run(&load, profile, depth, &options, ms);
}
