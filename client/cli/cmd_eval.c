/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/json_line.h"
#include "client/cli/option_table.h"
#include "client/cli/progress_line.h"
#include "client/cli/source_select.h"
#include "client/cli/table_report.h"
#include "storage/source.h"
#include "storage/table_eval.h"
#include "storage/table_reader.h"

struct eval_args {
    const char *file;
    const char *against;
    struct source_options source;
    bool json;
};

static const struct option_row rows[] = {
    {.name = "against",
     .type = OPTION_TEXT,
     .offset = offsetof(struct eval_args, against),
     .value = "SOURCE",
     .required = true,
     .help = "the vectors the table was made from"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = offsetof(struct eval_args, json),
     .help = "print one JSON object and nothing else"},
};

static const struct option_table options = {
    .command = "eval",
    .operand = "FILE.nbt",
    .operand_offset = offsetof(struct eval_args, file),
    .about = "Compares every row of a table file with the vectors it was made "
             "from, and names the rows that fared worst. The normalized l2 "
             "loss is ||X - Q(X)|| / ||X|| over the whole table: 0 is perfect, "
             "1 is as bad as all zeros.",
    .example = "  nibble eval glove.nbt --against glove.txt",
    .groups = {OPTION_GROUP(rows, 0),
               SOURCE_SELECT_GROUP(offsetof(struct eval_args, source))},
};

static struct table_report report_of(const struct table *table,
                                     const struct eval_report *eval)
{
    const struct table_info *info = table_info(table);
    return (struct table_report){.format = info->format,
                                 .n_rows = eval->losses.n_rows,
                                 .file_bytes = info->file_bytes,
                                 .stats = eval->losses.stats};
}

static double decode_us(const struct eval_report *eval)
{
    return 1e6 * eval->decode_seconds / (double)eval->losses.n_rows;
}

static void print_text(const struct eval_args *args, const struct table *table,
                       const struct eval_report *eval)
{
    const struct table_report report = report_of(table, eval);
    const struct losses *losses = &eval->losses;
    printf("%s against %s: %s x %u values\n", args->file, args->against,
           text_counted(losses->n_rows, "row").text, report.format.dim);
    table_report_print(&report);
    printf("  cosine   %.6f on average, %.6f or less for 1 %% of the rows\n",
           losses->cosine_mean, losses->cosine_p1);
    printf("  ratio    fp32 is %.2f times as large\n", eval->compression);
    printf("  decode   %.3f us a row, on one core\n", decode_us(eval));
    printf("  bags     sums of");
    for (size_t i = 0; i < BAG_SIZES; i++) {
        printf("%s %s: %.5f", i > 0 ? "," : "",
               text_counted(BAG_IDS[i], "id").text, eval->bags.nl2[i]);
    }
    printf(" (relative l2 error, %s each)\n",
           text_counted(eval->n_bags, "bag").text);
    printf("  worst rows, ||x - y|| / ||x||:\n");
    for (unsigned i = 0; i < losses->n_worst; i++) {
        printf("    row %-12s %.4f\n", text_count(losses->worst[i].row).text,
               losses->worst[i].rel_err);
    }
}

static json_t *json_bags(const struct eval_report *eval)
{
    json_t *list = json_array();
    for (size_t i = 0; i < BAG_SIZES; i++) {
        json_t *size = json_object();
        json_put(&size, "ids", json_count(BAG_IDS[i]));
        json_put(&size, "bags", json_count(eval->n_bags));
        json_put(&size, "relative_error", json_number(eval->bags.nl2[i]));
        json_append(&list, size);
    }
    return list;
}

static json_t *json_worst(const struct losses *losses)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < losses->n_worst; i++) {
        const struct worst_row *worst = &losses->worst[i];
        json_t *row = json_object();
        json_put(&row, "row", json_count(worst->row));
        json_put(&row, "relative_error", json_number(worst->rel_err));
        json_append(&list, row);
    }
    return list;
}

static int print_json(const struct eval_args *args, const struct table *table,
                      const struct eval_report *eval)
{
    const struct table_report report = report_of(table, eval);
    json_t *object = json_object();
    json_put(&object, "file", json_text(args->file));
    json_put(&object, "against", json_text(args->against));
    table_report_json(&report, &object);
    json_put(&object, "cosine_mean", json_number(eval->losses.cosine_mean));
    json_put(&object, "cosine_p1", json_number(eval->losses.cosine_p1));
    json_put(&object, "compression", json_number(eval->compression));
    json_put(&object, "decode_us_per_row", json_number(decode_us(eval)));
    json_put(&object, "bags", json_bags(eval));
    json_put(&object, "worst_rows", json_worst(&eval->losses));
    return json_line_print("eval", object);
}

static int evaluate(const struct eval_args *args, const struct table *table,
                    struct eval_report *report, struct nb_errctx *err)
{
    struct source *source;
    int rv = source_open(args->against, &args->source, &source, err);
    if (rv != 0) {
        return rv;
    }
    struct progress_line line;
    progress_line_begin(&line, "comparing");
    rv = table_eval(table, source, progress_line_show, &line, report, err);
    progress_line_end(&line);
    source_close(source);
    return rv;
}

int cmd_eval(int argc, char **argv)
{
    struct eval_args args = {0};
    int status;
    if (!options_parse(&options, argc, argv, &args, &status)) {
        return status;
    }
    struct nb_errctx err = {""};
    struct eval_report report;
    struct table *table = NULL;
    int rv = table_open(args.file, TABLE_VERIFY_FULL, &table, &err);
    if (rv == 0) {
        rv = evaluate(&args, table, &report, &err);
    }
    if (rv != 0) {
        status = command_fail("eval", rv, &err);
    } else if (args.json) {
        status = print_json(&args, table, &report);
    } else {
        print_text(&args, table, &report);
    }
    table_close(table);
    return status;
}
