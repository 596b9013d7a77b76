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
#include "client/cli/json_line.h"
#include "client/cli/progress_line.h"
#include "client/cli/svg_chart.h"
#include "client/cli/table_report.h"
#include "storage/comparison.h"
#include "storage/parallel.h"

#define BAG_SHOWN 1 /* of BAG_IDS: the text has room for one */

/* What is compared, and what came of it. */
struct compare {
    const struct compare_args *args;
    struct row_sample sample;
    struct candidate_list list;
    struct compared *lines; /* one a candidate */
    struct nb_errctx err;
};

static double fp32_bytes(const struct compare *compare)
{
    return (double)compare->sample.dim * sizeof(float);
}

/* In percent; NaN if there is nothing to hold it against. */
static double change(const struct compared *line)
{
    double nl2 = line->result.losses.stats.nl2;
    return line->baseline > 0 ? 100 * (nl2 / line->baseline - 1) : (double)NAN;
}

/* ---- text ---------------------------------------------------------------- */

static const char *dash_if_empty(const char *text)
{
    return text[0] != '\0' ? text : "-";
}

static void print_line(const struct compare *compare,
                       const struct compared *line)
{
    printf("%-12s %-12s %-6s", line->candidate.codec,
           dash_if_empty(line->candidate.search_name),
           table_scales_name(line->candidate.format.scales));
    if (line->rv != 0) {
        printf(" %s\n", nb_strerror(line->rv));
        return;
    }
    const struct trial_result *result = &line->result;
    char against[16] = "-";
    if (!isnan(change(line))) {
        snprintf(against, sizeof(against), "%+.1f %%", change(line));
    }
    printf(" %7zu %8s  %.5f %9s %9.5f %10.6f %10.3f %9.3f %9s\n",
           result->row_bytes,
           text_percent((double)result->row_bytes, fp32_bytes(compare)).text,
           result->losses.stats.nl2, against, result->bags.nl2[BAG_SHOWN],
           result->losses.cosine_p1, 1e6 * result->encode_seconds,
           1e6 * result->decode_seconds, text_count(line->n_rows).text);
}

/* Says what was not tried on all rows, and what a sample is of. */
static void print_notes(const struct compare *compare)
{
    const struct row_sample *sample = &compare->sample;
    if (sample->n < sample->n_source) {
        printf("a sample of %s, always the same, of %s\n",
               text_counted(sample->n, "row").text,
               text_counted(sample->n_source, "row").text);
    }
    size_t n_slow = 0;
    for (size_t i = 0; i < compare->list.n; i++) {
        const struct compared *line = &compare->lines[i];
        n_slow += line->rv == 0 && line->n_rows < sample->n;
    }
    if (n_slow > 0) {
        double us =
            1e6 * (double)compare->args->budget_seconds / (double)sample->n;
        printf("%s slower than %.3g us a row: tried on fewer rows (--budget), "
               "and held against greedy on the same ones\n",
               text_counted(n_slow, "candidate").text, us);
    }
    if (sample->n_nonfinite > 0) {
        printf("%s that were NaN or infinite counted as 0\n",
               text_counted(sample->n_nonfinite, "value").text);
    }
}

static void print_text(const struct compare *compare)
{
    const struct row_sample *sample = &compare->sample;
    printf("%s: %s x %u values%s\n", compare->args->against,
           text_counted(sample->n_source, "row").text, sample->dim,
           compare->args->weights != NULL ? ", losses weighted" : "");
    printf("%-12s %-12s %-6s %7s %8s %8s %9s %9s %10s %10s %9s %9s\n", "", "",
           "", "bytes", "of", "", "nl2 vs", "bags of", "cosine", "encode",
           "decode", "rows");
    printf("%-12s %-12s %-6s %7s %8s %8s %9s %6u ids %10s %10s %9s %9s\n",
           "codec", "search", "scales", "a row", "fp32", "nl2", "greedy",
           BAG_IDS[BAG_SHOWN], "p1", "us a row", "us a row", "tried");
    for (size_t i = 0; i < compare->list.n; i++) {
        print_line(compare, &compare->lines[i]);
    }
    print_notes(compare);
}

/* ---- JSON ---------------------------------------------------------------- */

static json_t *json_bags(const struct bag_errors *bags)
{
    json_t *list = json_array();
    for (size_t i = 0; i < BAG_SIZES; i++) {
        json_t *size = json_object();
        json_put(&size, "ids", json_count(BAG_IDS[i]));
        json_put(&size, "relative_error", json_number(bags->nl2[i]));
        json_append(&list, size);
    }
    return list;
}

static void put_result(const struct compare *compare,
                       const struct compared *line, json_t **object)
{
    const struct trial_result *result = &line->result;
    const struct losses *losses = &result->losses;
    double bytes = (double)result->row_bytes;
    json_put(object, "bytes_per_row", json_count(result->row_bytes));
    json_put(object, "percent_of_fp32",
             json_number(100 * bytes / fp32_bytes(compare)));
    json_put(object, "bits_per_value",
             json_number(8 * bytes / compare->sample.dim));
    json_put(object, "rows", json_count(line->n_rows));
    json_put(object, "nl2", json_number(losses->stats.nl2));
    json_put(object, "nl2_of_greedy", json_number(line->baseline));
    json_put(object, "change_percent", json_number(change(line)));
    json_put(object, "mse", json_number(losses->stats.mse));
    json_put(object, "max_abs_error", json_number(losses->stats.max_abs));
    json_put(object, "cosine_mean", json_number(losses->cosine_mean));
    json_put(object, "cosine_p1", json_number(losses->cosine_p1));
    json_put(object, "bags", json_bags(&result->bags));
    json_put(object, "encode_us_per_row",
             json_number(1e6 * result->encode_seconds));
    json_put(object, "decode_us_per_row",
             json_number(1e6 * result->decode_seconds));
}

static json_t *json_candidate(const struct compare *compare,
                              const struct compared *line)
{
    json_t *object = json_object();
    json_put(&object, "codec", json_string(line->candidate.codec));
    json_put(&object, "search", json_string(line->candidate.search_name));
    json_put(&object, "scales",
             json_string(table_scales_name(line->candidate.format.scales)));
    if (line->rv != 0) {
        json_put(&object, "error", json_string(nb_strerror(line->rv)));
    } else {
        put_result(compare, line, &object);
    }
    return object;
}

static int print_json(const struct compare *compare)
{
    const struct row_sample *sample = &compare->sample;
    json_t *object = json_object();
    json_t *list = json_array();
    for (size_t i = 0; i < compare->list.n; i++) {
        json_append(&list, json_candidate(compare, &compare->lines[i]));
    }
    json_put(&object, "against", json_text(compare->args->against));
    json_put(&object, "rows", json_count(sample->n_source));
    json_put(&object, "dim", json_count(sample->dim));
    json_put(&object, "sample_rows", json_count(sample->n));
    json_put(&object, "nonfinite_as_zero", json_count(sample->n_nonfinite));
    json_put(&object, "weighted", json_boolean(compare->args->weights != NULL));
    json_put(&object, "budget_seconds",
             json_count(compare->args->budget_seconds));
    json_put(&object, "candidates", list);
    return json_line_print("eval", object);
}

/* ---- SVG ----------------------------------------------------------------- */

/* Losses of fp16 and above are orders of magnitude less, and would press all
 * others into one line. */
static bool is_drawn(const struct compare *compare, const struct compared *line)
{
    return line->rv == 0 && isfinite(line->result.losses.stats.nl2) &&
           2 * (double)line->result.row_bytes < fp32_bytes(compare);
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
        const struct candidate *candidate = &line->candidate;
        points[n].x = (double)line->result.row_bytes;
        points[n].y = line->result.losses.stats.nl2;
        snprintf(points[n++].label, SVG_LABEL_BYTES, "%s%s%s", candidate->codec,
                 candidate->search_name[0] != '\0' ? " " : "",
                 candidate->search_name);
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

static int read_sample(struct compare *compare, struct source *source)
{
    const struct compare_args *args = compare->args;
    struct row_weights *weights = NULL;
    int rv = args->weights != NULL
                 ? row_weights_open(args->weights, &weights, &compare->err)
                 : 0;
    if (rv != 0) {
        return rv;
    }
    struct progress_line line;
    progress_line_begin(&line, "reading");
    const struct sample_options options = {
        .source = source,
        .weights = weights,
        .max_rows = (size_t)args->sample_rows,
        .progress = progress_line_show,
        .progress_arg = &line,
    };
    rv = row_sample_take(&options, &compare->sample, &compare->err);
    progress_line_end(&line);
    row_weights_close(weights);
    return rv;
}

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
        rv = read_sample(compare, source);
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
