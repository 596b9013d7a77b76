/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What the command line of nibble bench says. */
#ifndef NB_CLI_BENCH_ARGS_H
#define NB_CLI_BENCH_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "client/bench/id_choice.h"
#include "client/cli/option_table.h"
#include "client/cli/server_query.h"

#define BENCH_RATE_MAX 1e7 /* requests/s */

struct bench_args {
    struct server_query query; /* --server --timeout-ms --json, and dtype */
    /* As they stand there. */
    const char *profile;
    const char *tables;
    uint64_t samples;
    bool lookup;
    uint32_t pooling;
    const char *model;
    const char *ids;
    uint64_t seed;
    uint64_t request_mib;
    const char *rate_text;
    uint32_t arrivals;
    uint64_t connections;
    uint64_t depth; /* 0: 1 in a closed loop, 64 in an open one */
    uint64_t threads;
    const char *duration_text;
    const char *warmup_text;
    const char *ramp_text;
    const char *slo_text;
    bool verify;
    const char *repo;
    const char *during;
    const char *every_text;
    const char *output;
    const char *svg;
    bool compare;
    const char *make_tables;
    const char *codec;
    const char *scale_text;
    struct operand_list operands;
    /* Made of them. */
    double rate; /* 0: closed loop */
    double duration_s;
    double warmup_s;
    double every_s;
    double scale;
    double ramp_from, ramp_to; /* 0: no ramp */
    uint64_t ramp_steps;
    double slo_share; /* 0.99 of p99; 0: none */
    uint64_t slo_ns;  /* what it may be at most */
    struct id_choice choice;
    const char *trace; /* path, or NULL */
};

/* True if the command is to go on; otherwise *status is what to exit with. */
bool bench_args_parse(int argc, char **argv, struct bench_args *args,
                      int *status);

/* The least rate that --slo tries. In a step of --duration at less, no request
 * would lie beyond the percentile: it would be the worst of all. */
double bench_slo_least_rate(const struct bench_args *args);

/* Prints the files, and the options that are not as by default, each behind a
 * blank: as a shell reads them back. */
void bench_args_print(const struct bench_args *args);

/* Every option of a load, as given or by default, and the files of --verify.
 * NULL if there is no memory. */
json_t *bench_args_json(const struct bench_args *args);

/* "poisson", "sum": choices of options. */
option_choice_fn bench_arrivals_at;
option_choice_fn bench_pooling_at;

#endif
