/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/comparison.h"

#include <math.h>
#include <stdbool.h>

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
    const struct row_sample *sample;   /* to try on */
    const struct row_sample *training; /* to train on */
    struct row_sample halves[2];       /* these, unless they are all rows */
    struct rows_at at[HALVINGS];
    struct trial_rows *probe;
    struct nb_errctx *err;
};

static size_t n_rows_at(const struct run *run, unsigned k)
{
    return run->sample->n >> k;
}

static int need_rows(struct run *run, unsigned k)
{
    if (run->at[k].rows != NULL) {
        return 0;
    }
    return trial_rows_create(run->sample, n_rows_at(run, k), run->training,
                             &run->at[k].rows, run->err);
}

/* Tries a candidate, unless its scales do not hold the values. */
static int try_fitting(const struct run *run, const struct trial_rows *rows,
                       struct compared *line)
{
    struct candidate *candidate = &line->candidate;
    unsigned threads = run->comparison->threads;
    line->n_rows = trial_rows_n(rows);
    line->rv = candidate_fit(candidate, run->sample->extremes);
    if (line->rv == 0) {
        line->rv = trial_run(rows, candidate, threads, &line->result, run->err);
        /* Scaling columns can make values too large that were not. */
        if (line->rv == NB_ERR_OVERFLOW &&
            candidate->format.scales == NB_SCALES_FP16 &&
            candidate_switch_scales(candidate)) {
            line->rv =
                trial_run(rows, candidate, threads, &line->result, run->err);
        }
    }
    return line->rv == NB_ERR_OVERFLOW ? 0 : line->rv;
}

static bool can_halve(const struct run *run, unsigned k)
{
    return n_rows_at(run, k + 1) >= COMPARISON_ROWS_LEAST;
}

/* How often to halve the rows to keep to the limits. A candidate that fails on
 * few rows will fail on all. */
static int choose_halvings(struct run *run, const struct compared *line,
                           unsigned *k)
{
    struct compared probe = {.candidate = line->candidate};
    size_t max_rows = run->comparison->max_rows;
    *k = 0;
    while (can_halve(run, *k) && max_rows > 0 &&
           n_rows_at(run, *k) > max_rows) {
        ++*k;
    }
    if (!can_halve(run, *k) || isinf(run->comparison->budget_seconds)) {
        return 0;
    }
    int rv = run->probe != NULL
                 ? 0
                 : trial_rows_create(run->sample, PROBE_ROWS, run->training,
                                     &run->probe, run->err);
    if (rv == 0) {
        rv = try_fitting(run, run->probe, &probe);
    }
    if (rv != 0 || probe.rv != 0) {
        return rv;
    }
    while (can_halve(run, *k) &&
           probe.result.encode_seconds * (double)n_rows_at(run, *k) >
               run->comparison->budget_seconds) {
        ++*k;
    }
    return 0;
}

/* Loss of the baseline on the rows; 0 if it cannot be measured. */
static int need_baseline(struct run *run, unsigned k)
{
    struct rows_at *at = &run->at[k];
    if (at->measured) {
        return 0;
    }
    at->baseline.candidate = candidate_baseline(run->sample->dim);
    at->measured = true;
    return try_fitting(run, at->rows, &at->baseline);
}

static int run_candidate(struct run *run, struct compared *line)
{
    unsigned k;
    int rv = choose_halvings(run, line, &k);
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
    if (candidate_same(&line->candidate, &baseline->candidate)) {
        *line = *baseline;
    } else {
        rv = try_fitting(run, run->at[k].rows, line);
    }
    line->baseline = baseline->result.losses.stats.nl2;
    line->baseline_bags = baseline->result.bags;
    return rv;
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

int comparison_run(const struct comparison *comparison, struct compared *lines,
                   struct nb_errctx *err)
{
    struct run run = {.comparison = comparison, .err = err};
    int rv = share_sample(&run);
    for (size_t i = 0; i < comparison->list->n && rv == 0; i++) {
        lines[i] = (struct compared){.candidate = comparison->list->items[i]};
        rv = run_candidate(&run, &lines[i]);
        show_progress(comparison, i + 1);
    }
    for (size_t k = 0; k < HALVINGS; k++) {
        trial_rows_destroy(run.at[k].rows);
    }
    trial_rows_destroy(run.probe);
    row_sample_fini(&run.halves[0]);
    row_sample_fini(&run.halves[1]);
    return rv;
}
