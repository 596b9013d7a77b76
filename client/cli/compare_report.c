/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/compare_report.h"

#include <math.h>
#include <stdio.h>

#include "client/cli/cli_text.h"
#include "client/cli/json_line.h"
#include "client/cli/table_report.h"

#define BAG_SHOWN 1 /* of BAG_IDS: the text has room for one */

static double fp32_bytes(const struct compared *line)
{
    return (double)line->candidate.format.dim * sizeof(float);
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

static void print_line(const struct compared *line)
{
    const struct candidate *candidate = &line->candidate;
    printf("%-12s %-12s %-7s %-6s", candidate->codec,
           dash_if_empty(candidate->search_name),
           candidate_columns_at(candidate->columns),
           table_scales_name(candidate->format.scales));
    if (line->rv != 0) {
        printf(" %s", nb_strerror(line->rv));
        return;
    }
    const struct trial_result *result = &line->result;
    char against[16] = "-";
    if (!isnan(change(line))) {
        snprintf(against, sizeof(against), "%+.1f %%", change(line));
    }
    printf(" %7zu %7zu %8s  %.5f %9s %9.5f %10.6f %10.3f %9.3f %9s",
           result->row_bytes, result->table_bytes,
           text_percent((double)result->row_bytes, fp32_bytes(line)).text,
           result->losses.stats.nl2, against, result->bags.nl2[BAG_SHOWN],
           result->losses.cosine_p1, 1e6 * result->encode_seconds,
           1e6 * result->decode_seconds, text_count(line->n_rows).text);
}

static bool is_over_budget(const struct compared *line,
                           const struct compare_marks *marks)
{
    double dim = line->candidate.format.dim;
    double bytes = (double)line->result.row_bytes / dim;
    if (marks->n_rows > 0) {
        bytes += (double)line->result.table_bytes / (double)marks->n_rows / dim;
    }
    return line->rv == 0 && marks->max_bytes_per_value > 0 &&
           bytes > marks->max_bytes_per_value;
}

void compare_report_print(const struct compared *lines, size_t n,
                          const struct compare_marks *marks)
{
    static const char form[] = "%-12s %-12s %-7s %-6s %7s %7s %8s %8s %9s %9s "
                               "%10s %10s %9s %9s\n";
    char bags[16];
    snprintf(bags, sizeof(bags), "%u ids", BAG_IDS[BAG_SHOWN]);
    printf(form, "", "", "", "", "bytes", "bytes", "of", "", "nl2 vs",
           "bags of", "cosine", "encode", "decode", "rows");
    printf(form, "codec", "search", "columns", "scales", "a row", "a table",
           "fp32", "nl2", "greedy", bags, "p1", "us a row", "us a row",
           "tried");
    for (size_t i = 0; i < n; i++) {
        print_line(&lines[i]);
        printf("%s\n", &lines[i] == marks->chosen         ? "  <- chosen"
                       : is_over_budget(&lines[i], marks) ? "  over budget"
                                                          : "");
    }
}

void compare_report_print_sample(const struct row_sample *sample)
{
    if (sample->n < sample->n_source) {
        printf("a sample of %s, always the same, of %s\n",
               text_counted(sample->n, "row").text,
               text_counted(sample->n_source, "row").text);
    }
    if (sample->n_nonfinite > 0) {
        printf("%s that were NaN or infinite counted as 0\n",
               text_counted(sample->n_nonfinite, "value").text);
    }
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

static void put_result(const struct compared *line, json_t **object)
{
    const struct trial_result *result = &line->result;
    const struct losses *losses = &result->losses;
    double bytes = (double)result->row_bytes;
    json_put(object, "bytes_per_row", json_count(result->row_bytes));
    json_put(object, "table_bytes", json_count(result->table_bytes));
    json_put(object, "percent_of_fp32",
             json_number(100 * bytes / fp32_bytes(line)));
    json_put(object, "bits_per_value",
             json_number(8 * bytes / line->candidate.format.dim));
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

static json_t *json_candidate(const struct compared *line)
{
    json_t *object = json_object();
    json_put(&object, "codec", json_string(line->candidate.codec));
    json_put(&object, "search", json_string(line->candidate.search_name));
    json_put(&object, "columns",
             json_string(candidate_columns_at(line->candidate.columns)));
    json_put(&object, "scales",
             json_string(table_scales_name(line->candidate.format.scales)));
    if (line->rv != 0) {
        json_put(&object, "error", json_string(nb_strerror(line->rv)));
    } else {
        put_result(line, &object);
    }
    return object;
}

json_t *compare_report_json(const struct compared *lines, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_append(&list, json_candidate(&lines[i]));
    }
    return list;
}
