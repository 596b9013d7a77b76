/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * What the rows of a profile's requests cost where nothing is sent: makes the
 * requests that `nibble bench` makes of the same options, and has the kernels
 * answer them, feature after feature, on one thread.
 *     bags_alone --repo DIR --model NAME --profile NAME [--ids CHOICE]
 *                [--dtype fp32|packed] [--request-mib N] [--residency HOW]
 *                [--ms N]
 * Prints the ns of processor a request takes.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/bench/request_set.h"
#include "client/bench/workload.h"
#include "storage/repo/model_repo.h"
#include "tests/bench/timing.h"

#define WARM_UP_MS        200u
#define REQUESTS_PER_LOOK 16

struct settings {
    const char *repo;
    const char *model;
    const char *profile;
    const char *ids;
    enum table_residency residency;
    uint32_t dtype;
    uint32_t request_mib;
    uint32_t ms;
};

struct alone {
    struct model_version *version;
    struct workload workload;
    struct request_set set;
    const struct nb_rows **rows; /* in the order of the workload's tables */
    uint8_t *out;                /* values of the feature that has most */
};

static void die(const char *why)
{
    fprintf(stderr, "bags_alone: %s\n", why);
    exit(1); /* NOLINT(concurrency-mt-unsafe): one thread */
}

static void must(int rv, const struct nb_errctx *err)
{
    if (rv != 0) {
        die(err->text);
    }
}

static void *must_have(void *memory)
{
    if (memory == NULL) {
        die("no memory");
    }
    return memory;
}

/* ---- what is asked, and of what --------------------------------------- */

static void open_version(struct alone *alone, const struct settings *settings)
{
    struct nb_errctx err;
    const struct serving_search search = {.verify = TABLE_VERIFY_HEADER};
    struct serving serving;
    must(model_repo_open_serving(settings->repo, settings->model, &search,
                                 &serving, &err),
         &err);
    alone->version = serving.opened;
    serving.opened = NULL;
    serving_fini(&serving);
}

static struct table *find_table(const struct alone *alone, const char *name)
{
    const struct manifest *manifest = &alone->version->manifest;
    for (size_t i = 0; i < manifest->n; i++) {
        if (strcmp(manifest->tables[i].name, name) == 0) {
            return alone->version->tables[i];
        }
    }
    die("the model has not the tables of the profile");
    return NULL;
}

static void make_workload(struct alone *alone, const struct settings *settings)
{
    struct nb_errctx err;
    const struct profile *profile = profile_by_name(settings->profile);
    if (profile == NULL) {
        die("no such profile");
    }
    const struct workload_options options = {.model = settings->model,
                                             .dtype = settings->dtype};
    must(workload_of_profile(profile, &options, &alone->workload, &err), &err);
    struct workload *workload = &alone->workload;
    alone->rows =
        must_have(calloc(workload->n_tables, sizeof(const struct nb_rows *)));
    size_t most = 0;
    for (size_t i = 0; i < workload->n_tables; i++) {
        struct table *table = find_table(alone, workload->tables[i].name);
        must(table_reside(table, settings->residency, NULL, &err), &err);
        alone->rows[i] = table_rows(table);
        workload->tables[i].rows = table_info(table)->n_rows;
        const struct nb_feature *feature = &workload->features[i];
        size_t n =
            workload_is_pool(workload) ? feature->n_bags : feature->ids.n;
        size_t bytes = n * alone->rows[i]->format.dim * sizeof(float);
        most = bytes > most ? bytes : most;
    }
    alone->out = must_have(malloc(most));
}

static void make_requests(struct alone *alone, const struct settings *settings)
{
    struct nb_errctx err;
    struct id_choice choice;
    const char *trace;
    must(id_choice_parse(settings->ids, &choice, &trace, &err), &err);
    if (trace != NULL) {
        die("--ids: not from a file here");
    }
    const struct request_set_options options = {
        .workload = &alone->workload,
        .choice = &choice,
        .seed = 1,
        .n_threads = 1,
        .bytes = (size_t)settings->request_mib << 20,
        .keep_ids = true,
    };
    must(request_set_init(&alone->set, &options, &err), &err);
}

/* ---- answering -------------------------------------------------------- */

static int answer_feature(const struct alone *alone, size_t i,
                          const uint64_t *ids)
{
    const struct workload *workload = &alone->workload;
    const struct nb_feature *feature = &workload->features[i];
    const struct nb_ids of = {.u64 = ids, .n = feature->ids.n};
    uint64_t unseen;
    if (!workload_is_pool(workload)) {
        const struct nb_lookup lookup = {.ids = of, .dtype = workload->dtype};
        return nb_lookup(alone->rows[i], &lookup, alone->out, &unseen);
    }
    const struct nb_pool pool = {.ids = of,
                                 .lengths = feature->lengths,
                                 .n_bags = feature->n_bags,
                                 .pooling = feature->pooling,
                                 .dtype = workload->dtype};
    return nb_pool(alone->rows[i], &pool, alone->out, &unseen);
}

static void answer(const struct alone *alone, size_t request)
{
    const uint64_t *ids = alone->set.ids + request * alone->set.n_ids;
    for (size_t i = 0; i < alone->workload.n_tables; i++) {
        int rv = answer_feature(alone, i, ids);
        if (rv != 0) {
            die(nb_strerror(rv));
        }
        ids += alone->workload.features[i].ids.n;
    }
}

/* All requests in order, again and again, from *next on. The clock is a system
 * call, which takes as long as a small request. */
static double answer_for(const struct alone *alone, uint32_t ms, size_t *next)
{
    uint64_t start = timing_now_ns();
    uint64_t now = start;
    uint64_t n = 0;
    while (now - start < (uint64_t)ms * 1000000) {
        for (int i = 0; i < REQUESTS_PER_LOOK; i++) {
            answer(alone, *next);
            *next = *next + 1 == alone->set.n ? 0 : *next + 1;
        }
        n += REQUESTS_PER_LOOK;
        now = timing_now_ns();
    }
    return n > 0 ? (double)(now - start) / (double)n : 0;
}

static int run(const struct settings *settings)
{
    struct alone alone = {0};
    size_t next = 0;
    open_version(&alone, settings);
    make_workload(&alone, settings);
    make_requests(&alone, settings);
    answer_for(&alone, WARM_UP_MS, &next);
    printf("%.0f\n", answer_for(&alone, settings->ms, &next));
    free(alone.out);
    free(alone.rows);
    request_set_fini(&alone.set);
    workload_fini(&alone.workload);
    model_version_close(alone.version);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- the command line ------------------------------------------------- */

static uint32_t number(const char *text, uint32_t max)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < 1 || value > max) {
        die("a number is out of range");
    }
    return (uint32_t)value;
}

static enum table_residency residency_of(const char *text)
{
    for (size_t i = 0; table_residency_at(i) != NULL; i++) {
        if (strcmp(table_residency_at(i), text) == 0) {
            return (enum table_residency)i;
        }
    }
    die("--residency: map, populate, lock or huge");
    return RESIDENCY_MAP;
}

static void parse(int argc, char **argv, struct settings *settings)
{
    static const struct option rows[] = {
        {"repo", required_argument, NULL, 'r'},
        {"model", required_argument, NULL, 'm'},
        {"profile", required_argument, NULL, 'p'},
        {"ids", required_argument, NULL, 'i'},
        {"dtype", required_argument, NULL, 'd'},
        {"request-mib", required_argument, NULL, 'q'},
        {"residency", required_argument, NULL, 'h'},
        {"ms", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    int row;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    while ((row = getopt_long(argc, argv, "", rows, NULL)) != -1) {
        switch (row) {
        case 'r':
            settings->repo = optarg;
            break;
        case 'm':
            settings->model = optarg;
            break;
        case 'p':
            settings->profile = optarg;
            break;
        case 'i':
            settings->ids = optarg;
            break;
        case 'd':
            settings->dtype = strcmp(optarg, "packed") ? NB_FP32 : NB_PACKED;
            break;
        case 'q':
            settings->request_mib = number(optarg, 4096);
            break;
        case 'h':
            settings->residency = residency_of(optarg);
            break;
        case 't':
            settings->ms = number(optarg, 3600000);
            break;
        default:
            exit(2); /* NOLINT(concurrency-mt-unsafe): one thread */
        }
    }
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .ids = "zipf:0.9", .dtype = NB_FP32, .request_mib = 64, .ms = 1000};
    parse(argc, argv, &settings);
    if (settings.repo == NULL || settings.model == NULL ||
        settings.profile == NULL) {
        die("--repo, --model and --profile are needed");
    }
    return run(&settings);
}
