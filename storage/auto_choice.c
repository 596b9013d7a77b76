/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/auto_choice.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define SAMPLE_VALUES ((size_t)1 << 19)
#define ROWS_MOST     4096u /* tell two losses apart well enough */
#define ROWS_LEAST    64u
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

static double bytes_per_value(const struct candidate *candidate)
{
    size_t bytes = 0;
    (void)nb_row_bytes(&candidate->format, &bytes); /* a format of the list */
    return (double)bytes / candidate->format.dim;
}

/* Bytes a value that candidates may take. Where no scales of the baseline hold
 * the values, the most that they can take. */
static double budget_of(const struct auto_options *options)
{
    if (options->max_bytes_per_value > 0) {
        return options->max_bytes_per_value;
    }
    struct candidate baseline = candidate_baseline(options->sample->dim);
    (void)candidate_fit(&baseline, options->sample->max_abs);
    return bytes_per_value(&baseline);
}

/* Keeps the candidates whose scales hold the values, in the budget's bytes. */
static int keep_affordable(const struct auto_options *options, double budget,
                           struct candidate_list *list, struct nb_errctx *err)
{
    size_t n = 0;
    double least = INFINITY;
    for (size_t i = 0; i < list->n; i++) {
        struct candidate candidate = list->items[i];
        if (candidate_fit(&candidate, options->sample->max_abs) != 0) {
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
                       "no codec holds values as large as %g",
                       (double)options->sample->max_abs);
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

/* Of equal losses fewer bytes, then the first. */
static bool is_better(const struct auto_choice *choice,
                      enum auto_objective objective, size_t a, size_t b)
{
    double x = line_loss(choice, objective, a);
    double y = line_loss(choice, objective, b);
    if (x != y) {
        return x < y;
    }
    return choice->lines[a].result.row_bytes <
           choice->lines[b].result.row_bytes;
}

static void take_best(const struct auto_options *options, double budget,
                      struct auto_choice *choice)
{
    enum auto_objective objective = options->objective;
    choice->chosen = 0;
    for (size_t i = 1; i < choice->list.n; i++) {
        if (is_better(choice, objective, i, choice->chosen)) {
            choice->chosen = i;
        }
    }
    const struct compared *line = &choice->lines[choice->chosen];
    choice->record = (struct table_choice){
        .objective = auto_objective_at(objective),
        .weighted = options->sample->weight != NULL,
        .n_tried = choice->list.n,
        .sample_rows = options->sample->n,
        .max_bytes_per_value = budget,
        .loss = line_loss(choice, objective, choice->chosen),
        .loss_of_greedy =
            loss_of(objective, line->baseline, &line->baseline_bags),
    };
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
        assert(made.list.n > 0);
        made.lines = calloc(made.list.n, sizeof(*made.lines));
        rv = made.lines == NULL ? nb_fail(err, NB_ERR_NOMEM, "out of memory")
                                : 0;
    }
    if (rv == 0) {
        const struct comparison comparison = {
            .sample = options->sample,
            .list = &made.list,
            .budget_seconds = INFINITY, /* all rows, whatever it takes */
            .threads = options->threads,
            .progress = options->progress,
            .progress_arg = options->progress_arg,
        };
        rv = comparison_run(&comparison, made.lines, err);
    }
    if (rv != 0) {
        auto_choice_fini(&made);
        return rv;
    }
    take_best(options, budget, &made);
    *choice = made;
    return 0;
}

void auto_choice_fini(struct auto_choice *choice)
{
    candidate_list_fini(&choice->list);
    free(choice->lines);
    choice->lines = NULL;
}
