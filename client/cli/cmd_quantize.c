/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/auto_codec.h"
#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/json_line.h"
#include "client/cli/number_list.h"
#include "client/cli/option_table.h"
#include "client/cli/progress_line.h"
#include "client/cli/source_select.h"
#include "client/cli/table_report.h"
#include "storage/builder/codebook_train.h"
#include "storage/builder/table_builder.h"
#include "storage/io/atomic_file.h"
#include "storage/io/file_io.h"

#define THREADS_MAX 1024

struct quantize_args {
    const char *input;
    const char *output;
    struct source_options source;
    const char *codec;
    const char *search;
    const char *keys;
    const char *unseen_text;
    struct nb_unseen_policy unseen;
    uint32_t scales;     /* as scales_at() lists them */
    const char *columns; /* as table_columns_at() lists them */
    uint32_t nan_policy; /* enum nan_policy */
    uint64_t codebooks;
    const char *protect;
    char protect_weights[PATH_MAX]; /* its parts */
    double protect_fraction;
    uint64_t threads;
    struct auto_args choice; /* with --codec auto */
    bool json;
};

#define AUTO "auto"

static const char *nan_policy_at(size_t i)
{
    static const char *const names[] = {
        [NAN_REFUSE] = "refuse", [NAN_ZERO] = "zero"};
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

/* To be chosen, then the codecs there are. */
static const char *codec_at(size_t i)
{
    return i == 0 ? AUTO : nb_codec_at(i - 1);
}

/* The codec's own, then enum nb_scales. */
static const char *scales_at(size_t i)
{
    return i == 0 ? "auto" : table_scales_at(i - 1);
}

static bool unseen_parse(const char *text, struct nb_unseen_policy *unseen)
{
    static const char row[] = "row:";
    size_t n = sizeof(row) - 1;
    *unseen = (struct nb_unseen_policy){.action = NB_UNSEEN_ZERO};
    if (strcmp(text, "error") == 0) {
        unseen->action = NB_UNSEEN_ERROR;
    } else if (strncmp(text, row, n) == 0) {
        unseen->action = NB_UNSEEN_DEFAULT;
        return number_parse(text + n, strlen(text + n), &unseen->default_row);
    } else {
        return strcmp(text, "zero") == 0;
    }
    return true;
}

#define AT(field) offsetof(struct quantize_args, field)

static const struct option_row rows[] = {
    {.name = "input",
     .type = OPTION_TEXT,
     .offset = AT(input),
     .value = "FILE",
     .required = true,
     .help = "the trained vectors, a row each"},
    {.name = "output",
     .type = OPTION_TEXT,
     .offset = AT(output),
     .value = "FILE.nbt",
     .required = true,
     .help = "the table file; it appears whole or not at all"},
    {.name = "codec",
     .type = OPTION_NAME,
     .offset = AT(codec),
     .value = "CODEC",
     .choices = codec_at,
     .help = "how rows are stored. auto tries them all, with every search "
             "and what --columns can be, on a sample of rows, and takes what "
             "loses least in the bytes of q4, never more than greedy search. "
             "The default is auto, or q4 where --search, --scales, "
             "--columns or --codebooks is given"},
    {.name = "search",
     .type = OPTION_NAME,
     .offset = AT(search),
     .value = "SEARCH",
     .choices = nb_search_at,
     .help = "how the range of each row of q4 is found (default: greedy): "
             "asym takes its extremes, greedy narrows them while the error "
             "falls, exact finds the least there is up to 32 values a row and "
             "comes near it beyond. What each costs and gains on your "
             "vectors, 'nibble eval --compare all' says. The other codecs "
             "have no range to find"},
    {.name = "scales",
     .type = OPTION_INDEX,
     .offset = AT(scales),
     .value = "TYPE",
     .fallback = "auto",
     .choices = scales_at,
     .help = "type of each row's scale and bias (q4, q8) or codebook "
             "(q4-kmeans); fp32 is for values beyond 65,504, and takes 4 bytes "
             "a row more in q4. auto is the codec's own: fp32 for q8, as "
             "FBGEMM has it, and fp16 for q4"},
    {.name = "columns",
     .type = OPTION_NAME,
     .offset = AT(columns),
     .value = "HOW",
     .choices = table_columns_at,
     .help = "what is taken off each column of the table first, and put back "
             "once a bag: nothing (none, the default of a codec that is "
             "named), its mean (center), its mean and deviation (scale), or "
             "what loses least on a sample (auto)"},
    {.name = "codebooks",
     .type = OPTION_NUMBER,
     .offset = AT(codebooks),
     .value = "K",
     .fallback = "0",
     .max = NB_CODEBOOKS_MAX - 1,
     .help = "codebooks of q4-kmeans2, trained on a sample of the rows; 0 is "
             "64, or one for 32 rows. The number of other codecs is given"},
    {.name = "protect",
     .type = OPTION_TEXT,
     .offset = AT(protect),
     .value = "FILE:FRACTION",
     .help = "keep the most used rows more precisely, by a second row for "
             "what the first lost: this fraction of the rows, by how often "
             "FILE says each is used (a .npy vector or a number a line). Not "
             "with --keys"},
    {.name = "nan",
     .type = OPTION_INDEX,
     .offset = AT(nan_policy),
     .value = "POLICY",
     .fallback = "refuse",
     .choices = nan_policy_at,
     .help = "what a NaN or an infinity in the input does: fail, naming row "
             "and column, or count as 0"},
    {.name = "keys",
     .type = OPTION_TEXT,
     .offset = AT(keys),
     .value = "none|text|FILE",
     .fallback = "none",
     .help = "what ids are. none: row numbers, the first being 0. text: the "
             "words before the rows, as hashes (XXH3-64). FILE: an integer of "
             "64 bits for each row, a .npy vector or the bytes alone"},
    {.name = "unseen",
     .type = OPTION_TEXT,
     .offset = AT(unseen_text),
     .value = "zero|row:N|error",
     .fallback = "zero",
     .help = "what an id that is not in the table gives: zeros, row N of the "
             "input, or an error of the request"},
    {.name = "threads",
     .type = OPTION_NUMBER,
     .offset = AT(threads),
     .value = "N",
     .fallback = "0",
     .max = THREADS_MAX,
     .help = "threads that quantize; 0 is one a processor. The file is the "
             "same for any number"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .help = "print one JSON object and nothing else"},
};

static const struct option_table options = {
    .command = "quantize",
    .about = "Turns trained fp32 vectors into a packed table file that nibbled "
             "serves, and says what that costs in precision. Memory use does "
             "not depend on the table's size.",
    .example = "  nibble quantize --input glove.txt --output glove.nbt",
    .groups = {OPTION_GROUP(rows, 0), SOURCE_SELECT_GROUP(AT(source)),
               AUTO_CODEC_GROUP(AT(choice))},
};

static struct table_report report_of(const struct build_report *build)
{
    return (struct table_report){.format = build->format,
                                 .n_rows = build->n_rows,
                                 .file_bytes = build->file_bytes,
                                 .columns = build->columns,
                                 .params_bytes = build->params_bytes,
                                 .keys_bytes = build->keys_bytes,
                                 .n_protected = build->n_protected,
                                 .stats = build->stats};
}

static void print_text(const struct quantize_args *args,
                       const struct build_report *build)
{
    const struct table_report report = report_of(build);
    printf("%s: %s x %u values, codec ", args->output,
           text_counted(build->n_rows, "row").text, build->format.dim);
    table_codec_print(&build->format, args->search);
    table_report_print(&report);
    if (build->n_nonfinite > 0) {
        printf("  zeroed   %s that were NaN or infinite\n",
               text_counted(build->n_nonfinite, "value").text);
    }
    if (build->n_lost > 0) {
        printf("  warning  %s lost, zeros would be nearer%s\n",
               text_counted(build->n_lost, "row").text,
               build->format.scales == NB_SCALES_FP16
                   ? ": too small for fp16 scales; try --scales fp32"
                   : "");
    }
    printf("  time     %s, %s, %s\n", text_duration(build->seconds).text,
           text_rate(build->n_rows, build->seconds).text,
           text_counted(build->threads, "thread").text);
}

static int print_json(const struct quantize_args *args,
                      const struct build_report *build,
                      const struct auto_codec *choice)
{
    const struct table_report report = report_of(build);
    json_t *object = json_object();
    json_put(&object, "file", json_text(args->output));
    json_put(&object, "input", json_text(args->input));
    json_put(&object, "input_format", json_string(build->input_format));
    json_put(&object, "input_bytes", json_count(build->source_bytes));
    table_report_json(&report, &object);
    json_put(&object, "search", json_string(args->search));
    json_put(&object, "nonfinite_zeroed", json_count(build->n_nonfinite));
    json_put(&object, "rows_lost", json_count(build->n_lost));
    json_put(&object, "threads", json_count(build->threads));
    json_put(&object, "seconds", json_number(build->seconds));
    if (choice != NULL) {
        json_put(&object, "auto", auto_codec_json(choice));
    }
    return json_line_print("quantize", object);
}

/* Fills in what the codec leaves no choice of, or has a default for. */
static bool complete_codec(struct quantize_args *args, uint32_t *scales,
                           int *status)
{
    struct nb_codec_traits traits = {0};
    uint32_t codec = 0;
    (void)nb_codec_by_name(args->codec, &codec); /* a choice of the option */
    (void)nb_codec_traits(codec, &traits);
    *scales = args->scales == 0 ? traits.scales : args->scales - 1;
    if (*scales != traits.scales && !traits.other_scales) {
        *status = command_misused("quantize", "--scales: codec %s is %s only",
                                  args->codec, table_scales_at(traits.scales));
        return false;
    }
    if (args->search != NULL && !traits.searched) {
        *status = command_misused(
            "quantize", "--search: codec %s has no range to search for",
            args->codec);
        return false;
    }
    if (args->search == NULL) {
        args->search = traits.searched ? "greedy" : "";
    }
    const struct codebook_job job = {
        .format = {.codec = codec, .dim = 1, .scales = *scales},
        .n_codebooks = (uint32_t)args->codebooks,
        .n_rows = 1};
    struct nb_params shape;
    if (args->codebooks != 0 && codebook_shape(&job, &shape) != 0) {
        *status = command_misused("quantize",
                                  "--codebooks: codec %s cannot have %u of its "
                                  "own",
                                  args->codec, job.n_codebooks);
        return false;
    }
    return true;
}

/* An option that says part of what auto chooses; NULL if none is given. */
static const char *part_given(const struct quantize_args *args)
{
    return args->search != NULL    ? "search"
           : args->scales != 0     ? "scales"
           : args->columns != NULL ? "columns"
           : args->codebooks != 0  ? "codebooks"
                                   : NULL;
}

static bool check_auto(const struct quantize_args *args, int *status)
{
    double budget;
    const char *given = part_given(args);
    if (given != NULL) {
        *status = command_misused(
            "quantize", "--%s: with --codec auto it is chosen, too", given);
        return false;
    }
    if (!auto_codec_budget(&args->choice, &budget)) {
        *status = command_misused(
            "quantize", "--max-bytes-per-value: '%s' is not a number above 0",
            args->choice.max_bytes_per_value);
        return false;
    }
    bool keyed = strcmp(args->keys, "none") != 0;
    if (args->choice.max_bytes_per_value != NULL &&
        (keyed || args->protect != NULL)) {
        *status = command_misused("quantize",
                                  "--max-bytes-per-value counts no bytes of "
                                  "--%s; not together",
                                  keyed ? "keys" : "protect");
        return false;
    }
    return true;
}

/* FILE:FRACTION; the last colon parts them. */
static bool parse_protect(struct quantize_args *args)
{
    const char *colon = strrchr(args->protect, ':');
    char *end;
    if (colon == NULL || colon == args->protect || colon[1] == '\0' ||
        (size_t)(colon - args->protect) >= sizeof(args->protect_weights)) {
        return false;
    }
    memcpy(args->protect_weights, args->protect,
           (size_t)(colon - args->protect));
    args->protect_fraction = strtod(colon + 1, &end);
    return *end == '\0' && args->protect_fraction > 0 &&
           args->protect_fraction <= 1;
}

/* Whether the options go together; false once told. */
static bool check_usage(struct quantize_args *args, int *status)
{
    if (args->protect != NULL && !parse_protect(args)) {
        *status = command_misused("quantize",
                                  "--protect: '%s' is not FILE:FRACTION, the "
                                  "fraction above 0 and at most 1",
                                  args->protect);
        return false;
    }
    if (args->protect != NULL && strcmp(args->keys, "none") != 0) {
        *status =
            command_misused("quantize", "--protect: not together with --keys");
        return false;
    }
    if (!source_select_check("quantize", &args->source, status)) {
        return false;
    }
    if (!unseen_parse(args->unseen_text, &args->unseen)) {
        *status = command_misused("quantize",
                                  "--unseen: '%s' is not zero, row:N or error",
                                  args->unseen_text);
        return false;
    }
    if (strcmp(args->codec, AUTO) == 0) {
        return check_auto(args, status);
    }
    if (auto_codec_given(&args->choice)) {
        *status = command_misused("quantize",
                                  "--max-bytes-per-value, --objective and "
                                  "--weights go with --codec auto");
        return false;
    }
    return true;
}

static enum table_columns columns_of(const struct quantize_args *args)
{
    uint32_t how = COLUMNS_NONE;
    while (args->columns != NULL &&
           strcmp(args->columns, table_columns_at(how)) != 0) {
        how++;
    }
    return (enum table_columns)how;
}

static struct build_options build_of(const struct quantize_args *args,
                                     uint32_t scales)
{
    return (struct build_options){
        .input = args->input,
        .source = args->source,
        .output = args->output,
        .codec = args->codec,
        .search = args->search,
        .scales = scales,
        .columns = columns_of(args),
        .n_codebooks = (uint32_t)args->codebooks,
        .nan_policy = args->nan_policy,
        .protect_weights = args->protect != NULL ? args->protect_weights : NULL,
        .protect_fraction = args->protect_fraction,
        .keys = args->keys,
        .unseen = args->unseen,
        .threads = (unsigned)args->threads,
    };
}

static int quantize(const struct quantize_args *args, uint32_t scales,
                    const struct auto_codec *choice)
{
    struct progress_line line;
    progress_line_begin(&line, "quantizing");
    struct build_options build = build_of(args, scales);
    build.choice = choice != NULL ? &choice->choice.record : NULL;
    build.progress = progress_line_show;
    build.progress_arg = &line;
    struct build_report report;
    struct nb_errctx err = {""};
    int rv = table_build(&build, &report, &err);
    progress_line_end(&line);
    if (rv != 0) {
        return command_fail("quantize", rv, &err);
    }
    if (args->json) {
        return print_json(args, &report, choice);
    }
    if (choice != NULL) {
        auto_codec_print(choice);
    }
    print_text(args, &report);
    return COMMAND_DONE;
}

/* Whether a file can come to be there, before much is done for it. */
static int check_output(const char *path, struct nb_errctx *err)
{
    struct atomic_file *file = NULL;
    int rv = atomic_file_create(path, &file, err);
    atomic_file_destroy(file);
    return rv;
}

/* Chooses, once nothing is known that the file could not be made for. */
static int choose(const struct quantize_args *args, struct auto_codec *choice,
                  struct nb_errctx *err)
{
    const struct auto_args *how = &args->choice;
    const struct build_options build = build_of(args, 0);
    int rv = how->weights != NULL ? file_check_distinct(how->weights, "weights",
                                                        args->output, err)
                                  : 0;
    if (rv == 0) {
        rv = check_output(args->output, err);
    }
    if (rv == 0) {
        rv = table_build_check(&build, SOURCE_ROWS_UNKNOWN, err);
    }
    if (rv == 0) {
        rv = auto_codec_read(how, args->input, &args->source, choice, err);
    }
    if (rv == 0) {
        rv = table_build_check(&build, choice->sample.n_source, err);
    }
    return rv == 0
               ? auto_codec_choose(how, (unsigned)args->threads, choice, err)
               : rv;
}

static int quantize_auto(struct quantize_args *args)
{
    struct auto_codec choice = {0};
    struct nb_errctx err = {""};
    int rv = choose(args, &choice, &err);
    if (rv != 0) {
        auto_codec_fini(&choice);
        return command_fail("quantize", rv, &err);
    }
    const struct candidate *chosen =
        &choice.choice.lines[choice.choice.chosen].candidate;
    args->codec = chosen->codec;
    args->search = chosen->search_name;
    args->columns = table_columns_at(chosen->columns);
    int status = quantize(args, chosen->format.scales, &choice);
    auto_codec_fini(&choice);
    return status;
}

int cmd_quantize(int argc, char **argv)
{
    struct quantize_args args = {0};
    int status;
    if (!options_parse(&options, argc, argv, &args, &status)) {
        return status;
    }
    if (args.codec == NULL) {
        args.codec = part_given(&args) == NULL ? AUTO : "q4";
    }
    if (!check_usage(&args, &status)) {
        return status;
    }
    if (strcmp(args.codec, AUTO) == 0) {
        return quantize_auto(&args);
    }
    uint32_t scales;
    if (!complete_codec(&args, &scales, &status)) {
        return status;
    }
    return quantize(&args, scales, NULL);
}
