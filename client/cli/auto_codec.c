/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/auto_codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/cli_text.h"
#include "client/cli/compare_report.h"
#include "client/cli/json_line.h"
#include "client/cli/progress_line.h"
#include "client/cli/sample_select.h"
#include "storage/parallel.h"

/* Index 0 is that the option was not given, which is mse. */
static const char *objective_at(size_t i)
{
    return i == 0 ? "auto" : auto_objective_at(i - 1);
}

#define AT(field) offsetof(struct auto_args, field)

const struct option_row auto_codec_rows[AUTO_CODEC_ROWS] = {
    {.name = "max-bytes-per-value",
     .type = OPTION_TEXT,
     .offset = AT(max_bytes_per_value),
     .value = "B",
     .help = "with --codec auto: the most that the table may take, such as "
             "0.6 (default: what rows of q4 take, and 2 % for what rows "
             "share). Not with --keys or --protect, whose bytes it would not "
             "count"},
    {.name = "objective",
     .type = OPTION_INDEX,
     .offset = AT(objective),
     .value = "WHAT",
     .fallback = "auto",
     .choices = objective_at,
     .help = "with --codec auto: the loss that is to be least, that of rows or "
             "of sums of 20 rows; auto is mse"},
    {.name = "weights",
     .type = OPTION_TEXT,
     .offset = AT(weights),
     .value = "FILE",
     .help = "with --codec auto: how often each row is used, which makes its "
             "loss count as often: a .npy vector or a number a line"},
};

bool auto_codec_given(const struct auto_args *args)
{
    return args->max_bytes_per_value != NULL || args->objective != 0 ||
           args->weights != NULL;
}

bool auto_codec_budget(const struct auto_args *args, double *budget)
{
    const char *text = args->max_bytes_per_value;
    *budget = 0;
    if (text == NULL) {
        return true;
    }
    char *end;
    *budget = strtod(text, &end);
    return end != text && *end == '\0' && *budget > 0 && !isinf(*budget);
}

int auto_codec_read(const struct auto_args *args, const char *input,
                    const struct source_options *options,
                    struct auto_codec *made, struct nb_errctx *err)
{
    struct source *source;
    int rv = source_open(input, options, &source, err);
    if (rv == 0) {
        rv = sample_select_take(source, args->weights,
                                auto_sample_rows(source_dim(source)),
                                &made->sample, err);
        source_close(source);
    }
    return rv;
}

int auto_codec_choose(const struct auto_args *args, unsigned threads,
                      struct auto_codec *made, struct nb_errctx *err)
{
    double budget;
    if (!auto_codec_budget(args, &budget)) {
        return nb_fail(err, NB_ERR_INVALID, "no budget: '%.40s'",
                       args->max_bytes_per_value);
    }
    struct progress_line line;
    progress_line_begin(&line, "choosing");
    const struct auto_options options = {
        .sample = &made->sample,
        .objective = args->objective == 0
                         ? AUTO_MSE
                         : (enum auto_objective)(args->objective - 1),
        .max_bytes_per_value = budget,
        .threads = threads != 0 ? threads : parallel_threads(),
        .progress = progress_line_show,
        .progress_arg = &line,
    };
    int rv = auto_choose(&options, &made->choice, err);
    progress_line_end(&line);
    return rv;
}

void auto_codec_fini(struct auto_codec *made)
{
    auto_choice_fini(&made->choice);
    row_sample_fini(&made->sample);
}

/* Those that were tried on all rows, and how many were not. */
static void print_finalists(const struct auto_choice *choice,
                            struct compare_marks marks,
                            struct compared *finalists)
{
    size_t n = 0;
    size_t few_rows = 0;
    for (size_t i = 0; i < choice->list.n; i++) {
        if (choice->lines[i].n_rows < choice->record.sample_rows) {
            few_rows = choice->lines[i].n_rows;
            continue;
        }
        if (i == choice->chosen) {
            marks.chosen = &finalists[n];
        }
        finalists[n++] = choice->lines[i];
    }
    compare_report_print(finalists, n, &marks);
    if (n < choice->list.n) {
        printf("%s lost more on %s, and were not tried on more\n",
               text_counted(choice->list.n - n, "candidate").text,
               text_counted(few_rows, "row").text);
    }
}

void auto_codec_print(const struct auto_codec *made)
{
    const struct auto_choice *choice = &made->choice;
    const struct table_choice *record = &choice->record;
    printf("tried %s of up to %.4g bytes a value for the least loss of %s%s\n",
           text_counted(record->n_tried, "candidate").text,
           record->max_bytes_per_value,
           record->objective == auto_objective_at(AUTO_MSE) ? "rows"
                                                            : "sums of 20 rows",
           record->weighted ? ", weighted" : "");
    const struct compare_marks marks = {
        .chosen = &choice->lines[choice->chosen],
        .max_bytes_per_value = record->max_bytes_per_value,
        .n_rows = made->sample.n_source};
    struct compared *finalists = calloc(choice->list.n, sizeof(*finalists));
    if (finalists != NULL) {
        print_finalists(choice, marks, finalists);
    } else { /* without leaving any out, then */
        compare_report_print(choice->lines, choice->list.n, &marks);
    }
    free(finalists);
    compare_report_print_sample(&made->sample);
}

json_t *auto_codec_json(const struct auto_codec *made)
{
    const struct auto_choice *choice = &made->choice;
    const struct table_choice *record = &choice->record;
    json_t *object = json_object();
    json_put(&object, "objective", json_string(record->objective));
    json_put(&object, "weighted", json_boolean(record->weighted));
    json_put(&object, "max_bytes_per_value",
             json_number(record->max_bytes_per_value));
    json_put(&object, "tried", json_count(record->n_tried));
    json_put(&object, "sample_rows", json_count(record->sample_rows));
    json_put(&object, "chosen", json_count(choice->chosen));
    json_put(&object, "loss", json_number(record->loss));
    json_put(&object, "loss_of_greedy", json_number(record->loss_of_greedy));
    json_put(&object, "candidates",
             compare_report_json(choice->lines, choice->list.n));
    return object;
}
