/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/eval/auto_choice.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* Half of the rows are trained on, where they are not all; 4,096 tell losses
 * apart well enough. */
#define SAMPLE_VALUES ((size_t)1 << 20)
#define ROWS_MOST     8192u
#define ROWS_LEAST    128u
#define BAG_SIZE      1 /* of BAG_IDS: 20 ids */

const char *auto_objective_at(size_t i)
{
    static const char *const names[] = {
        [AUTO_MSE] = "mse", [AUTO_POOLED] = "pooled"};
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

size_t auto_sample_rows(uint32_t dim)
{
    size_t n = SAMPLE_VALUES / dim;
    n = n < ROWS_MOST ? n : ROWS_MOST;
    return n > ROWS_LEAST ? n : ROWS_LEAST;
}

/* ---- the budget ---------------------------------------------------------- */

/* By default what all rows share, such as means of columns, may add so much. */
#define SHARED_ROOM 1.02

/* Of rows alone. */
static double bytes_per_value(const struct candidate *candidate)
{
    size_t bytes = 0;
    (void)nb_row_bytes(&candidate->format, &bytes); /* a format of the list */
    return (double)bytes / candidate->format.dim;
}

/* Of what rows share. */
static double shared_bytes_per_value(const struct auto_options *options,
                                     const struct compared *line)
{
    return (double)line->result.table_bytes /
           (double)options->sample->n_source / line->candidate.format.dim;
}

static double line_bytes_per_value(const struct auto_options *options,
                                   const struct compared *line)
{
    return bytes_per_value(&line->candidate) +
           shared_bytes_per_value(options, line);
}

static double budget_of(const struct auto_options *options)
{
    if (options->max_bytes_per_value > 0) {
        return options->max_bytes_per_value;
    }
    struct candidate baseline = candidate_baseline(options->sample->dim);
    (void)candidate_fit(&baseline, options->sample->extremes);
    return bytes_per_value(&baseline) * SHARED_ROOM;
}

/* Keeps the candidates whose scales hold the values, and whose rows are within
 * the budget. */
static int keep_affordable(const struct auto_options *options, double budget,
                           struct candidate_list *list, struct nb_errctx *err)
{
    size_t n = 0;
    double least = INFINITY;
    for (size_t i = 0; i < list->n; i++) {
        struct candidate candidate = list->items[i];
        if (candidate_fit(&candidate, options->sample->extremes) != 0) {
            continue;
        }
        least = fmin(least, bytes_per_value(&candidate));
        if (bytes_per_value(&candidate) <= budget) {
            list->items[n++] = candidate;
        }
    }
    list->n = n;
    if (n > 0) {
        return 0;
    }
    if (isinf(least)) {
        return nb_fail(err, NB_ERR_OVERFLOW,
                       "no codec holds values as large as those");
    }
    return nb_fail(err, NB_ERR_INVALID,
                   "no codec takes %g bytes a value or less; the least for "
                   "rows of %u values is %.4g",
                   budget, options->sample->dim, least);
}

/* ---- the choice ---------------------------------------------------------- */

static double loss_of(enum auto_objective objective, double nl2,
                      const struct bag_errors *bags)
{
    return objective == AUTO_MSE ? nl2 : bags->nl2[BAG_SIZE];
}

static double line_loss(const struct auto_choice *choice,
                        enum auto_objective objective, size_t i)
{
    const struct trial_result *result = &choice->lines[i].result;
    return loss_of(objective, result->losses.stats.nl2, &result->bags);
}

/* Whether all of the table is within the budget. */
static bool is_eligible(const struct auto_options *options, double budget,
                        const struct compared *line)
{
    return line->rv == 0 && line_bytes_per_value(options, line) <= budget;
}

/* Losses so near to the least are equal: what has no parameters is simpler. */
#define NEARLY 1.002

/* Of two that are nearly equal fewer bytes, then less loss, then the first. */
static bool is_simpler(const struct auto_options *options,
                       const struct auto_choice *choice, size_t a, size_t b)
{
    double x = line_bytes_per_value(options, &choice->lines[a]);
    double y = line_bytes_per_value(options, &choice->lines[b]);
    if (x != y) {
        return x < y;
    }
    return line_loss(choice, options->objective, a) <
           line_loss(choice, options->objective, b);
}

/* Losses up to here are as good as the least; none above the baseline's is. */
static double good_loss(const struct auto_options *options, double budget,
                        const struct auto_choice *choice, size_t n_rows)
{
    struct candidate baseline = candidate_baseline(options->sample->dim);
    double least = INFINITY;
    double of_baseline = INFINITY;
    for (size_t i = 0; i < choice->list.n; i++) {
        const struct compared *line = &choice->lines[i];
        if (line->n_rows == n_rows && is_eligible(options, budget, line)) {
            double loss = line_loss(choice, options->objective, i);
            least = fmin(least, loss);
            if (candidate_same(&line->candidate, &baseline)) {
                of_baseline = loss;
            }
        }
    }
    return fmin(NEARLY * least, of_baseline);
}

static size_t most_rows(const struct auto_choice *choice)
{
    size_t most = 0;
    for (size_t i = 0; i < choice->list.n; i++) {
        size_t n = choice->lines[i].n_rows;
        most = n > most ? n : most;
    }
    return most;
}

/* Sets the chosen; false if none is eligible. */
static bool find_best(const struct auto_options *options, double budget,
                      struct auto_choice *choice)
{
    size_t n = choice->list.n;
    size_t n_rows = most_rows(choice);
    double good = good_loss(options, budget, choice, n_rows);
    choice->chosen = n;
    for (size_t i = 0; i < n; i++) {
        const struct compared *line = &choice->lines[i];
        if (line->n_rows == n_rows && is_eligible(options, budget, line) &&
            line_loss(choice, options->objective, i) <= good &&
            (choice->chosen == n ||
             is_simpler(options, choice, i, choice->chosen))) {
            choice->chosen = i;
        }
    }
    return choice->chosen < n;
}

static int take_best(const struct auto_options *options, double budget,
                     struct auto_choice *choice, struct nb_errctx *err)
{
    enum auto_objective objective = options->objective;
    if (!find_best(options, budget, choice)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "no codec takes %g bytes a value or less, with what "
                       "rows share",
                       budget);
    }
    const struct compared *line = &choice->lines[choice->chosen];
    choice->record = (struct table_choice){
        .objective = auto_objective_at(objective),
        .weighted = options->sample->weight != NULL,
        .n_tried = choice->list.n,
        .sample_rows = line->n_rows,
        .max_bytes_per_value = budget,
        .loss = line_loss(choice, objective, choice->chosen),
        .loss_of_greedy =
            loss_of(objective, line->baseline, &line->baseline_bags),
    };
    return 0;
}

/* ---- rounds -------------------------------------------------------------- */

/* What loses more than this many times the least on few rows will not be the
 * least on all. */
#define PROMISING 1.1
#define FEW_ROWS  512u

static int compare_on(const struct auto_options *options,
                      const struct candidate_list *list, size_t max_rows,
                      struct table_params *params, struct compared *lines,
                      struct nb_errctx *err)
{
    const struct comparison comparison = {
        .sample = options->sample,
        .list = list,
        .budget_seconds = INFINITY, /* clocks have no say */
        .max_rows = max_rows,
        .params = params,
        .threads = options->threads,
        .progress = options->progress,
        .progress_arg = options->progress_arg,
    };
    return comparison_run(&comparison, lines, err);
}

static bool is_baseline(const struct auto_options *options,
                        const struct candidate *candidate)
{
    struct candidate baseline = candidate_baseline(options->sample->dim);
    return candidate_same(candidate, &baseline);
}

/* Whether the candidate's rows may have these columns: the list has it with
 * them, after `i`, where it stands without. */
static bool may_have_columns(const struct candidate_list *list, size_t i,
                             enum table_columns columns)
{
    struct candidate variant = list->items[i];
    variant.columns = columns;
    while (i < list->n && !candidate_same(&list->items[i], &variant)) {
        i++;
    }
    return i < list->n;
}

/* First round: what can be done with columns, on few rows, by the search of the
 * baseline. What is best for that is taken for all that can have it, which
 * leaves a third of the candidates: training some takes seconds. */
static int choose_columns(const struct auto_options *options, double budget,
                          struct candidate_list *list, struct nb_errctx *err)
{
    struct candidate variants[COLUMNS_SCALE + 1];
    struct compared lines[COLUMNS_SCALE + 1];
    struct auto_choice columns = {
        .list = {.items = variants, .n = COLUMNS_SCALE + 1}, .lines = lines};
    for (size_t i = COLUMNS_NONE; i <= COLUMNS_SCALE; i++) {
        variants[i] = candidate_baseline(options->sample->dim);
        variants[i].columns = (enum table_columns)i;
    }
    int rv = compare_on(options, &columns.list, FEW_ROWS, NULL, lines, err);
    /* A budget below the baseline's leaves none of these; columns are then left
     * as they are. */
    enum table_columns chosen = COLUMNS_NONE;
    double shared = 0;
    if (rv == 0 && find_best(options, budget, &columns)) {
        chosen = variants[columns.chosen].columns;
        shared = shared_bytes_per_value(options, &lines[columns.chosen]);
    }
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct candidate *item = &list->items[i];
        bool fits = bytes_per_value(item) + shared <= budget &&
                    (item->columns != COLUMNS_NONE ||
                     may_have_columns(list, i, chosen));
        if (item->columns == (fits ? chosen : COLUMNS_NONE) ||
            is_baseline(options, item)) {
            list->items[n++] = *item;
        }
    }
    list->n = n;
    return rv;
}

/* Whether the candidate goes on to the last round. The baseline does, so that
 * there is something never to be worse than. */
static bool is_promising(const struct auto_options *options,
                         const struct auto_choice *choice, double least,
                         size_t i)
{
    const struct compared *line = &choice->lines[i];
    return is_baseline(options, &line->candidate) ||
           (line->rv == 0 &&
            line_loss(choice, options->objective, i) <= PROMISING * least);
}

/* Moves the promising to the front, with their lines and parameters; returns
 * how many they are. */
static size_t sort_promising(const struct auto_options *options, double budget,
                             struct auto_choice *choice,
                             struct table_params *params)
{
    double least = INFINITY;
    for (size_t i = 0; i < choice->list.n; i++) {
        if (is_eligible(options, budget, &choice->lines[i])) {
            least = fmin(least, line_loss(choice, options->objective, i));
        }
    }
    size_t n = 0;
    for (size_t i = 0; i < choice->list.n; i++) {
        choice->list.items[i] = choice->lines[i].candidate; /* with scales */
        if (is_promising(options, choice, least, i)) {
            struct compared line = choice->lines[n];
            struct table_params held = params[n];
            struct candidate candidate = choice->list.items[n];
            choice->lines[n] = choice->lines[i];
            choice->lines[i] = line;
            choice->list.items[n] = choice->list.items[i];
            choice->list.items[i] = candidate;
            params[n] = params[i];
            params[i] = held;
            n++;
        }
    }
    return n;
}

/* The other two rounds: all on few rows, then the promising on all rows. */
static int compare_all(const struct auto_options *options, double budget,
                       struct auto_choice *choice, struct nb_errctx *err)
{
    size_t n = choice->list.n;
    assert(n > 0);
    struct table_params *params = calloc(n, sizeof(*params));
    choice->lines = calloc(n, sizeof(*choice->lines));
    if (params == NULL || choice->lines == NULL) {
        free(params);
        return nb_fail(err, NB_ERR_NOMEM, "out of memory");
    }
    int rv = compare_on(options, &choice->list, FEW_ROWS, params, choice->lines,
                        err);
    if (rv == 0) {
        const struct candidate_list finalists = {
            .items = choice->list.items,
            .n = sort_promising(options, budget, choice, params)};
        rv = compare_on(options, &finalists, 0, params, choice->lines, err);
    }
    for (size_t i = 0; i < n; i++) {
        table_params_fini(&params[i]);
    }
    free(params);
    return rv;
}

int auto_choose(const struct auto_options *options, struct auto_choice *choice,
                struct nb_errctx *err)
{
    struct auto_choice made = {0};
    double budget = budget_of(options);
    int rv = candidate_list_parse("all", options->sample->dim, &made.list, err);
    if (rv == 0) {
        rv = keep_affordable(options, budget, &made.list, err);
    }
    if (rv == 0) {
        rv = choose_columns(options, budget, &made.list, err);
    }
    if (rv == 0) {
        rv = compare_all(options, budget, &made, err);
    }
    if (rv == 0) {
        rv = take_best(options, budget, &made, err);
    }
    if (rv != 0) {
        auto_choice_fini(&made);
        return rv;
    }
    *choice = made;
    return 0;
}

void auto_choice_fini(struct auto_choice *choice)
{
    candidate_list_fini(&choice->list);
    free(choice->lines);
    choice->lines = NULL;
}
