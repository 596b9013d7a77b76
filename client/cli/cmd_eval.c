/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/eval_compare.h"
#include "client/cli/json_line.h"
#include "client/cli/option_table.h"
#include "client/cli/progress_line.h"
#include "client/cli/source_select.h"
#include "client/cli/table_report.h"
#include "storage/eval/candidate.h"
#include "storage/eval/table_eval.h"
#include "storage/source/source.h"
#include "storage/table/table_reader.h"

#define THREADS_MAX 256
#define BUDGET_MAX  86400 /* a day */

struct eval_args {
    const char *file;
    const char *against;
    struct source_options source;
    const char *keys; /* NULL: by the words, or none */
    struct compare_args compare;
    bool json;
};

#define AT(field) offsetof(struct eval_args, field)

static const struct option_row rows[] = {
    {.name = "against",
     .type = OPTION_TEXT,
     .offset = AT(against),
     .value = "SOURCE",
     .required = true,
     .help = "the vectors the table was made from"},
    {.name = "keys",
     .type = OPTION_TEXT,
     .offset = AT(keys),
     .value = "FILE",
     .help = "of a keyed table: the keys of the vectors, as given to quantize; "
             "not needed where their words are the keys"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .help = "print one JSON object and nothing else"},
    {.name = "compare",
     .type = OPTION_TEXT,
     .offset = AT(compare.list),
     .value = "LIST",
     .help =
         "no FILE.nbt: try codecs and searches on the vectors, in memory, "
         "and print them as a table. 'all', or names parted by commas: of "
         "a codec, of a search of q4, or CODEC/SEARCH, each with +center or "
         "+scale for these --columns of quantize"},
    {.name = "svg",
     .type = OPTION_TEXT,
     .offset = AT(compare.svg),
     .value = "FILE",
     .help = "with --compare: draw loss against bytes a row"},
    {.name = "weights",
     .type = OPTION_TEXT,
     .offset = AT(compare.weights),
     .value = "FILE",
     .help = "with --compare: how often each row is used, in losses too: a "
             ".npy vector or a number a line"},
    {.name = "sample",
     .type = OPTION_NUMBER,
     .offset = AT(compare.sample_rows),
     .value = "ROWS",
     .fallback = "0",
     .max = UINT32_MAX,
     .help = "with --compare: rows to try on, always the same ones; 0 is as "
             "many as make 16 MiB of fp32"},
    {.name = "budget",
     .type = OPTION_NUMBER,
     .offset = AT(compare.budget_seconds),
     .value = "SECONDS",
     .fallback = "5",
     .min = 1,
     .max = BUDGET_MAX,
     .help = "with --compare: what takes longer to encode the rows, on one "
             "core, is tried on fewer"},
    {.name = "threads",
     .type = OPTION_NUMBER,
     .offset = AT(compare.threads),
     .value = "N",
     .fallback = "0",
     .max = THREADS_MAX,
     .help = "with --compare: threads to use; 0 is one a processor. Losses "
             "are the same for any number"},
};

static const struct option_table options = {
    .command = "eval",
    .operand = "FILE.nbt",
    .operand_offset = AT(file),
    .operand_optional = true,
    .about = "Compares every row of a table file with the vectors it was made "
             "from, and names the rows that fared worst; or, before there is a "
             "table, compares ways to make one. The normalized l2 loss (nl2) "
             "is ||X - Q(X)|| / ||X|| over the whole table: 0 is perfect, 1 is "
             "as bad as all zeros.",
    .example = "  nibble eval glove.nbt --against glove.txt\n"
               "  nibble eval --compare all --against glove.txt --svg loss.svg",
    .groups = {OPTION_GROUP(rows, 0), SOURCE_SELECT_GROUP(AT(source))},
};

static struct table_report report_of(const struct table *table,
                                     const struct eval_report *eval)
{
    const struct table_info *info = table_info(table);
    return (struct table_report){.format = info->format,
                                 .n_rows = eval->losses.n_rows,
                                 .file_bytes = info->file_bytes,
                                 .columns = info->columns,
                                 .params_bytes = info->params_bytes,
                                 .keys_bytes = info->keys_bytes,
                                 .n_protected = info->n_protected,
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

static int compare_source(const struct eval_args *args,
                          const struct table *table, struct eval_report *report,
                          struct nb_errctx *err)
{
    struct source *source;
    int rv = source_open(args->against, &args->source, &source, err);
    if (rv != 0) {
        return rv;
    }
    uint32_t dim = table_info(table)->format.dim;
    if (source_dim(source) != dim) {
        rv = nb_fail(err, NB_ERR_INVALID,
                     "%.100s has dim %" PRIu32 ", %.100s has dim %" PRIu32,
                     args->file, dim, args->against, source_dim(source));
        source_close(source);
        return rv;
    }
    struct progress_line line;
    progress_line_begin(&line, "comparing");
    struct row_keys *keys = NULL;
    if (args->keys != NULL) {
        rv = row_keys_open(args->keys, &keys, err);
    }
    if (rv == 0) {
        rv = table_eval(table, source, keys, progress_line_show, &line, report,
                        err);
    }
    progress_line_end(&line);
    row_keys_close(keys);
    source_close(source);
    return rv;
}

/* False once told: no such candidates, whatever the rows. */
static bool check_list(const char *list, int *status)
{
    struct candidate_list candidates = {0};
    struct nb_errctx err = {""};
    int rv = candidate_list_parse(list, 1, &candidates, &err);
    candidate_list_fini(&candidates);
    if (rv == NB_ERR_NOT_FOUND) {
        *status = command_misused("eval", "--compare: %s", err.text);
    }
    return rv != NB_ERR_NOT_FOUND;
}

static int eval_table(const struct eval_args *args)
{
    struct nb_errctx err = {""};
    struct eval_report report = {0};
    struct table *table = NULL;
    int status = COMMAND_DONE;
    int rv = table_open(args->file, TABLE_VERIFY_FULL, &table, &err);
    if (rv == 0) {
        rv = compare_source(args, table, &report, &err);
    }
    if (rv != 0) {
        status = command_fail("eval", rv, &err);
    } else if (args->json) {
        status = print_json(args, table, &report);
    } else {
        print_text(args, table, &report);
    }
    table_close(table);
    return status;
}

int cmd_eval(int argc, char **argv)
{
    struct eval_args args = {0};
    int status;
    if (!options_parse(&options, argc, argv, &args, &status)) {
        return status;
    }
    if ((args.file == NULL) == (args.compare.list == NULL)) {
        return command_misused("eval", "give %s FILE.nbt or --compare",
                               args.file == NULL ? "a" : "either");
    }
    if (args.compare.list == NULL &&
        (args.compare.svg != NULL || args.compare.weights != NULL)) {
        return command_misused("eval", "--%s goes with --compare",
                               args.compare.svg != NULL ? "svg" : "weights");
    }
    if (!source_select_check("eval", &args.source, &status)) {
        return status;
    }
    if (args.compare.list == NULL) {
        return eval_table(&args);
    }
    if (!check_list(args.compare.list, &status)) {
        return status;
    }
    if (args.keys != NULL) {
        return command_misused("eval", "--keys goes with FILE.nbt");
    }
    args.compare.against = args.against;
    args.compare.source = &args.source;
    args.compare.json = args.json;
    return eval_compare(&args.compare);
}
