/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/eval_compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/compare_report.h"
#include "client/cli/json_line.h"
#include "client/cli/progress_line.h"
#include "client/cli/sample_select.h"
#include "client/cli/svg_chart.h"
#include "storage/eval/comparison.h"
#include "storage/parallel.h"

/* What is compared, and what came of it. */
struct compare {
    const struct compare_args *args;
    struct row_sample sample;
    struct candidate_list list;
    struct compared *lines; /* one a candidate */
    struct nb_errctx err;
};

/* Says what was not tried on all rows. */
static void print_slow(const struct compare *compare)
{
    size_t n_rows = compare->sample.n;
    size_t n_slow = 0;
    for (size_t i = 0; i < compare->list.n; i++) {
        const struct compared *line = &compare->lines[i];
        n_slow += line->rv == 0 && line->n_rows < n_rows;
    }
    if (n_slow > 0) {
        double us = 1e6 * (double)compare->args->budget_seconds;
        printf("%s slower than %.3g us a row: tried on fewer rows (--budget), "
               "and held against greedy on the same ones\n",
               text_counted(n_slow, "candidate").text, us / (double)n_rows);
    }
}

static void print_text(const struct compare *compare)
{
    const struct row_sample *sample = &compare->sample;
    printf("%s: %s x %u values%s\n", compare->args->against,
           text_counted(sample->n_source, "row").text, sample->dim,
           compare->args->weights != NULL ? ", losses weighted" : "");
    const struct compare_marks none = {0};
    compare_report_print(compare->lines, compare->list.n, &none);
    compare_report_print_sample(sample);
    print_slow(compare);
}

static int print_json(const struct compare *compare)
{
    const struct row_sample *sample = &compare->sample;
    json_t *object = json_object();
    json_put(&object, "against", json_text(compare->args->against));
    json_put(&object, "rows", json_count(sample->n_source));
    json_put(&object, "dim", json_count(sample->dim));
    json_put(&object, "sample_rows", json_count(sample->n));
    json_put(&object, "nonfinite_as_zero", json_count(sample->n_nonfinite));
    json_put(&object, "weighted", json_boolean(compare->args->weights != NULL));
    json_put(&object, "budget_seconds",
             json_count(compare->args->budget_seconds));
    json_put(&object, "candidates",
             compare_report_json(compare->lines, compare->list.n));
    return json_line_print("eval", object);
}

/* ---- SVG ----------------------------------------------------------------- */

/* Losses of fp16 and above are orders of magnitude less, and would press all
 * others into one line. */
static bool can_be_drawn(const struct compare *compare,
                         const struct compared *line)
{
    return line->rv == 0 && isfinite(line->result.losses.stats.nl2) &&
           line->result.row_bytes < (size_t)2 * compare->sample.dim;
}

/* Of the ways with columns only the best is, of equal ones the first. */
static bool is_drawn(const struct compare *compare, const struct compared *line)
{
    for (size_t i = 0; i < compare->list.n; i++) {
        const struct compared *other = &compare->lines[i];
        struct candidate same = other->candidate;
        same.columns = line->candidate.columns;
        double loss = line->result.losses.stats.nl2;
        double other_loss = other->result.losses.stats.nl2;
        if (other != line && can_be_drawn(compare, other) &&
            candidate_same(&same, &line->candidate) &&
            (other_loss < loss || (other_loss == loss && other < line))) {
            return false;
        }
    }
    return can_be_drawn(compare, line);
}

/* "q4 exact scale" */
static void label(const struct candidate *candidate, char to[SVG_LABEL_BYTES])
{
    const char *search = candidate->search_name;
    const char *columns = candidate->columns != COLUMNS_NONE
                              ? candidate_columns_at(candidate->columns)
                              : "";
    snprintf(to, SVG_LABEL_BYTES, "%s%s%s%s%s", candidate->codec,
             search[0] != '\0' ? " " : "", search,
             columns[0] != '\0' ? " " : "", columns);
}

static int draw_svg(struct compare *compare)
{
    struct svg_point *points = calloc(compare->list.n + 1, sizeof(*points));
    if (points == NULL) {
        return nb_fail(&compare->err, NB_ERR_NOMEM, "out of memory");
    }
    size_t n = 0;
    for (size_t i = 0; i < compare->list.n; i++) {
        const struct compared *line = &compare->lines[i];
        if (!is_drawn(compare, line)) {
            continue;
        }
        points[n].x = (double)line->result.row_bytes;
        points[n].y = line->result.losses.stats.nl2;
        label(&line->candidate, points[n++].label);
    }
    char title[256];
    snprintf(title, sizeof(title), "%.80s: %s x %" PRIu32 " values",
             compare->args->against,
             text_counted(compare->sample.n_source, "row").text,
             compare->sample.dim);
    const struct svg_chart chart = {
        .title = title,
        .x_label = "bytes a row (16 bits a value and more are not drawn)",
        .y_label = "normalized l2 loss",
        .points = points,
        .n = n};
    int rv = svg_chart_write(&chart, compare->args->svg, &compare->err);
    free(points);
    return rv;
}

/* ---- the work ------------------------------------------------------------ */

static int run(struct compare *compare)
{
    const struct compare_args *args = compare->args;
    compare->lines = calloc(compare->list.n, sizeof(*compare->lines));
    if (compare->lines == NULL) {
        return nb_fail(&compare->err, NB_ERR_NOMEM, "out of memory");
    }
    struct progress_line line;
    progress_line_begin(&line, "comparing");
    const struct comparison comparison = {
        .sample = &compare->sample,
        .list = &compare->list,
        .budget_seconds = (double)args->budget_seconds,
        .threads =
            args->threads != 0 ? (unsigned)args->threads : parallel_threads(),
        .progress = progress_line_show,
        .progress_arg = &line,
    };
    int rv = comparison_run(&comparison, compare->lines, &compare->err);
    progress_line_end(&line);
    return rv;
}

static int compare_all(struct compare *compare)
{
    const struct compare_args *args = compare->args;
    struct source *source;
    int rv = source_open(args->against, args->source, &source, &compare->err);
    if (rv != 0) {
        return rv;
    }
    rv = candidate_list_parse(args->list, source_dim(source), &compare->list,
                              &compare->err);
    if (rv == 0) {
        rv =
            sample_select_take(source, args->weights, (size_t)args->sample_rows,
                               &compare->sample, &compare->err);
    }
    source_close(source);
    if (rv == 0) {
        rv = run(compare);
    }
    if (rv == 0 && args->svg != NULL) {
        rv = draw_svg(compare);
    }
    return rv;
}

int eval_compare(const struct compare_args *args)
{
    struct compare compare = {.args = args};
    int status = COMMAND_DONE;
    int rv = compare_all(&compare);
    if (rv != 0) {
        status = command_fail("eval", rv, &compare.err);
    } else if (args->json) {
        status = print_json(&compare);
    } else {
        print_text(&compare);
    }
    free(compare.lines);
    candidate_list_fini(&compare.list);
    row_sample_fini(&compare.sample);
    return status;
}
