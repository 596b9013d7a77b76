/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/eval/comparison.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "storage/parallel.h"

#define PROBE_ROWS 8u /* that tell how slow a candidate is */
#define HALVINGS   64u

/* Rows of the sample, n / 2^k of them, and what the baseline makes of these. */
struct rows_at {
    struct trial_rows *rows;
    bool measured;
    struct compared baseline;
};

struct run {
    const struct comparison *comparison;
    struct compared *lines;
    struct table_params *params;       /* one a line */
    const struct row_sample *sample;   /* to try on */
    const struct row_sample *training; /* to train on */
    struct row_sample halves[2];       /* these, unless they are all rows */
    struct rows_at at[HALVINGS];
    struct trial_rows *probe;
    struct nb_errctx *err;
};

/* ---- rows ---------------------------------------------------------------- */

static int share_sample(struct run *run)
{
    const struct row_sample *sample = run->comparison->sample;
    run->sample = sample;
    run->training = sample;
    if (sample->n == sample->n_source || sample->n < 2) {
        return 0;
    }
    run->sample = &run->halves[0];
    run->training = &run->halves[1];
    return row_sample_split(sample, &run->halves[0], &run->halves[1], run->err);
}

static size_t n_rows_at(const struct run *run, unsigned k)
{
    return run->sample->n >> k;
}

static bool can_halve(const struct run *run, unsigned k)
{
    return n_rows_at(run, k + 1) >= COMPARISON_ROWS_LEAST;
}

static int need_rows(struct run *run, unsigned k)
{
    return run->at[k].rows != NULL
               ? 0
               : trial_rows_create(run->sample, n_rows_at(run, k),
                                   &run->at[k].rows, run->err);
}

static int need_probe(struct run *run)
{
    return run->probe != NULL ? 0
                              : trial_rows_create(run->sample, PROBE_ROWS,
                                                  &run->probe, run->err);
}

/* ---- candidates ---------------------------------------------------------- */

static int try_line(const struct run *run, const struct trial_rows *rows,
                    size_t i, struct trial_result *result)
{
    return trial_run(rows, &run->lines[i].candidate, &run->params[i].view,
                     run->comparison->threads, result, run->err);
}

/* How often to halve the rows to keep to the limits. */
static int choose_halvings(struct run *run, size_t i, unsigned *k)
{
    const struct comparison *comparison = run->comparison;
    *k = 0;
    while (can_halve(run, *k) && comparison->max_rows > 0 &&
           n_rows_at(run, *k) > comparison->max_rows) {
        ++*k;
    }
    if (!can_halve(run, *k) || isinf(comparison->budget_seconds)) {
        return 0;
    }
    struct trial_result probe;
    int rv = need_probe(run);
    if (rv == 0) {
        rv = try_line(run, run->probe, i, &probe);
    }
    while (rv == 0 && can_halve(run, *k) &&
           probe.encode_seconds * (double)n_rows_at(run, *k) >
               comparison->budget_seconds) {
        ++*k;
    }
    return rv;
}

/* The baseline on the same rows; its rv is NB_ERR_OVERFLOW if no scales of its
 * own hold the values. */
static int need_baseline(struct run *run, unsigned k)
{
    struct rows_at *at = &run->at[k];
    struct compared *baseline = &at->baseline;
    if (at->measured) {
        return 0;
    }
    baseline->candidate = candidate_baseline(run->sample->dim);
    baseline->n_rows = n_rows_at(run, k);
    baseline->rv = candidate_fit(&baseline->candidate, run->sample->extremes);
    at->measured = true;
    return baseline->rv == 0 ? trial_run(at->rows, &baseline->candidate, NULL,
                                         run->comparison->threads,
                                         &baseline->result, run->err)
                             : 0;
}

static int run_line(struct run *run, size_t i)
{
    struct compared *line = &run->lines[i];
    unsigned k = 0;
    int rv = choose_halvings(run, i, &k);
    if (rv == 0) {
        rv = need_rows(run, k);
    }
    if (rv == 0) {
        rv = need_baseline(run, k);
    }
    if (rv != 0) {
        return rv;
    }
    const struct compared *baseline = &run->at[k].baseline;
    line->n_rows = n_rows_at(run, k);
    line->baseline = baseline->result.losses.stats.nl2;
    line->baseline_bags = baseline->result.bags;
    if (candidate_same(&line->candidate, &baseline->candidate)) {
        line->result = baseline->result;
        return 0;
    }
    return try_line(run, run->at[k].rows, i, &line->result);
}

/* ---- all ----------------------------------------------------------------- */

/* A job: trains a line, unless its parameters are there. */
static void train_line(void *arg, size_t i)
{
    struct run *run = arg;
    struct compared *line = &run->lines[i];
    line->candidate = run->comparison->list->items[i];
    if (run->params[i].values == NULL) {
        line->rv =
            trial_train(&line->candidate, run->training, &run->params[i]);
    }
}

struct batch {
    struct run *run;
    size_t first;
};

static void train_in_batch(void *arg, size_t i)
{
    const struct batch *batch = arg;
    train_line(batch->run, batch->first + i);
}

static void show_progress(const struct comparison *comparison, size_t done)
{
    const struct progress progress = {
        .rows = done * comparison->sample->n,
        .rows_total = comparison->list->n * comparison->sample->n,
    };
    if (comparison->progress != NULL) {
        comparison->progress(comparison->progress_arg, &progress);
    }
}

/* Lines from `first` on: trained side by side, then tried one by one, with all
 * threads on each. */
static int run_batch(struct run *run, size_t first, size_t n)
{
    const struct comparison *comparison = run->comparison;
    struct batch batch = {.run = run, .first = first};
    parallel_run(comparison->threads, n, train_in_batch, &batch);
    for (size_t i = first; i < first + n; i++) {
        struct compared *line = &run->lines[i];
        int rv = line->rv == 0 ? run_line(run, i) : line->rv;
        if (line->rv != 0 && line->rv != NB_ERR_OVERFLOW) {
            nb_fail(run->err, rv, "training %s: %s", line->candidate.codec,
                    nb_strerror(rv));
        }
        if (rv != 0 && rv != NB_ERR_OVERFLOW) {
            return rv;
        }
        show_progress(comparison, i + 1);
    }
    return 0;
}

static void fini(struct run *run)
{
    for (size_t i = 0;
         run->params != NULL && run->params != run->comparison->params &&
         i < run->comparison->list->n;
         i++) {
        table_params_fini(&run->params[i]);
    }
    if (run->params != run->comparison->params) {
        free(run->params);
    }
    for (size_t k = 0; k < HALVINGS; k++) {
        trial_rows_destroy(run->at[k].rows);
    }
    trial_rows_destroy(run->probe);
    row_sample_fini(&run->halves[0]);
    row_sample_fini(&run->halves[1]);
}

int comparison_run(const struct comparison *comparison, struct compared *lines,
                   struct nb_errctx *err)
{
    size_t n = comparison->list->n;
    struct run run = {.comparison = comparison, .lines = lines, .err = err};
    memset(lines, 0, n * sizeof(*lines));
    run.params = comparison->params != NULL
                     ? comparison->params
                     : calloc(n + 1, sizeof(*run.params));
    int rv = run.params == NULL ? nb_fail(err, NB_ERR_NOMEM, "out of memory")
                                : share_sample(&run);
    size_t step = comparison->threads;
    for (size_t i = 0; i < n && rv == 0; i += step) {
        rv = run_batch(&run, i, n - i < step ? n - i : step);
    }
    fini(&run);
    return rv;
}
