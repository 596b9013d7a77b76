/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/bench_args.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/bench/decimal.h"
#include "client/bench/load_thread.h"
#include "client/bench/profile.h"
#include "client/bench/table_maker.h"
#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/json_line.h"

#define AT(field)  offsetof(struct bench_args, field)
#define TIME_MOST  1e6 /* seconds */
#define STEPS_MOST 64

const char *bench_arrivals_at(size_t i)
{
    static const char *const names[] = {
        [ARRIVALS_POISSON] = "poisson", [ARRIVALS_CONSTANT] = "constant"};
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

const char *bench_pooling_at(size_t i)
{
    static const char *const names[] = {
        [NB_SUM] = "sum", [NB_MEAN] = "mean", [NB_MAX] = "max"};
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

static const char *during_at(size_t i)
{
    return i == 0 ? "reload" : NULL;
}

static const struct option_row request_rows[] = {
    {.name = "profile",
     .type = OPTION_NAME,
     .offset = AT(profile),
     .value = "NAME",
     .choices = profile_name_at,
     .help = "requests of a published shape, for tables that --make-tables "
             "makes"},
    {.name = "tables",
     .type = OPTION_TEXT,
     .offset = AT(tables),
     .value = "NAME:IDS,...",
     .help = "instead: ask these tables, each for bags of IDS ids"},
    {.name = "samples",
     .type = OPTION_NUMBER,
     .offset = AT(samples),
     .value = "N",
     .fallback = "1",
     .min = 1,
     .max = 1 << 20,
     .help = "with --tables: bags of each table in a request"},
    {.name = "lookup",
     .type = OPTION_FLAG,
     .offset = AT(lookup),
     .help = "with --tables: ask for the rows themselves, do not pool them"},
    {.name = "mode",
     .type = OPTION_INDEX,
     .offset = AT(pooling),
     .value = "MODE",
     .fallback = "sum",
     .choices = bench_pooling_at,
     .without = "lookup",
     .help = "what becomes of the rows of a bag"},
    {.name = "dtype",
     .type = OPTION_INDEX,
     .offset = AT(query.dtype),
     .value = "TYPE",
     .fallback = "fp32",
     .choices = query_dtype_at,
     .help = "how the values travel; packed for lookups only"},
    {.name = "model",
     .type = OPTION_TEXT,
     .offset = AT(model),
     .value = "NAME",
     .help = "the model (default: the server's only one, or the one of the "
             "profile's name; with --make-tables, the profile's name)"},
    {.name = "ids",
     .type = OPTION_TEXT,
     .offset = AT(ids),
     .value = "CHOICE",
     .fallback = "zipf:0.9",
     .help = "uniform; zipf:S over the ids in scrambled order; "
             "hot:ROWS:SHARE, where that part of the rows gets that share of "
             "the ids; or trace:FILE, ids parted by blanks, commas or lines"},
    {.name = "seed",
     .type = OPTION_NUMBER,
     .offset = AT(seed),
     .value = "N",
     .fallback = "1",
     .max = UINT64_MAX,
     .help = "of ids, arrivals and tables: the same seed, the same requests"},
    {.name = "request-mib",
     .type = OPTION_NUMBER,
     .offset = AT(request_mib),
     .value = "MIB",
     .fallback = "64",
     .min = 1,
     .max = 1 << 20,
     .help = "requests are made before the clock runs, so much of them, and "
             "then repeated"},
};

static const struct option_row load_rows[] = {
    {.name = "rate",
     .type = OPTION_TEXT,
     .offset = AT(rate_text),
     .value = "R",
     .without = "ramp",
     .help = "open loop: so many requests/s whatever the server does, latency "
             "counted from when each was due (default: closed loop, a new "
             "request for each reply)"},
    {.name = "arrivals",
     .type = OPTION_INDEX,
     .offset = AT(arrivals),
     .value = "KIND",
     .fallback = "poisson",
     .choices = bench_arrivals_at,
     .help = "of an open loop: independent of each other, or evenly spaced"},
    {.name = "connections",
     .type = OPTION_NUMBER,
     .offset = AT(connections),
     .value = "N",
     .fallback = "16",
     .min = 1,
     .max = 100000,
     .help = "connections, of all threads together"},
    {.name = "depth",
     .type = OPTION_NUMBER,
     .offset = AT(depth),
     .value = "N",
     .fallback = "0",
     .max = LOAD_DEPTH_MAX,
     .help = "unanswered requests of a connection at most; 0: one in a closed "
             "loop, 64 in an open one"},
    {.name = "threads",
     .type = OPTION_NUMBER,
     .offset = AT(threads),
     .value = "N",
     .fallback = "1",
     .min = 1,
     .max = 1024,
     .help = "threads of the client"},
    {.name = "duration",
     .type = OPTION_TEXT,
     .offset = AT(duration_text),
     .value = "SECONDS",
     .fallback = "10",
     .help = "time measured, of each step"},
    {.name = "warm-up",
     .type = OPTION_TEXT,
     .offset = AT(warmup_text),
     .value = "SECONDS",
     .fallback = "1",
     .help = "time before it, of the same load"},
    {.name = "ramp",
     .type = OPTION_TEXT,
     .offset = AT(ramp_text),
     .value = "FROM:TO:STEPS",
     .help = "measure at several rates, in equal ratios"},
    {.name = "slo",
     .type = OPTION_TEXT,
     .offset = AT(slo_text),
     .value = "p99=5ms",
     .help = "find the highest rate at which that percentile of latency is "
             "not above that time (us, ms or s), beginning at --rate (default: "
             "1000), but at none so low that too few requests make a "
             "percentile"},
    {.name = "verify",
     .type = OPTION_FLAG,
     .offset = AT(verify),
     .help = "hold every reply, bit for bit, against --repo (the version that "
             "it claims) or the TABLE=FILE.nbt given"},
    {.name = "repo",
     .type = OPTION_TEXT,
     .offset = AT(repo),
     .value = "DIR",
     .help = "the repository that the server serves"},
    {.name = "during",
     .type = OPTION_NAME,
     .offset = AT(during),
     .value = "WHAT",
     .choices = during_at,
     .help = "meanwhile, publish new versions of the model to --repo, of "
             "other values, and delete them again but for the last 4; in the "
             "end these too, so that what was served before is served again. "
             "No other version is deleted"},
    {.name = "every",
     .type = OPTION_TEXT,
     .offset = AT(every_text),
     .value = "SECONDS",
     .fallback = "1",
     .with = "during",
     .help = "pause between two of them"},
    {.name = "output",
     .type = OPTION_TEXT,
     .offset = AT(output),
     .value = "FILE",
     .help = "write the report as JSON, for --compare"},
    {.name = "svg",
     .type = OPTION_TEXT,
     .offset = AT(svg),
     .value = "FILE",
     .help = "draw percentiles of latency against the rate"},
};

/* Of what is done instead of a load. */
static const struct option_row other_rows[] = {
    {.name = "compare",
     .type = OPTION_FLAG,
     .offset = AT(compare),
     .help = "instead: set the two reports given as A.json B.json side by "
             "side"},
    {.name = "make-tables",
     .type = OPTION_NAME,
     .offset = AT(make_tables),
     .value = "PROFILE",
     .choices = profile_name_at,
     .help = "instead: make the tables of a profile and publish them to "
             "--repo"},
    {.name = "scale",
     .type = OPTION_TEXT,
     .offset = AT(scale_text),
     .value = "X",
     .fallback = "1",
     .with = "make-tables",
     .help = "with --make-tables: times the rows of the profile"},
    {.name = "codec",
     .type = OPTION_NAME,
     .offset = AT(codec),
     .value = "NAME",
     .fallback = "q4",
     .choices = table_maker_codec_at,
     .with = "make-tables",
     .help = "with --make-tables: how rows are stored"},
};

static const struct option_table table = {
    .command = "bench",
    .operand = "TABLE=FILE.nbt",
    .operand_offset = AT(operands),
    .operand_optional = true,
    .operand_many = true,
    .about =
        "Loads a server and tells what it does under the load. In an open loop "
        "(--rate) requests are due when they are due, and latency counts from "
        "then: a server that stalls cannot hide it by not being asked. Service "
        "time, from the actual sending, stands beside it. The client tells how "
        "much of a core it used, and warns where it, not the server, may have "
        "been the limit. Exits with 1 if any request failed.",
    .example =
        "  nibble bench --make-tables ranking --scale 0.1 --repo models\n"
        "  nibble bench --profile ranking --rate 2000 --verify --repo models\n"
        "  nibble bench --profile ranking --slo p99=5ms --svg ranking.svg",
    .groups = {OPTION_GROUP(request_rows, 0), OPTION_GROUP(load_rows, 0),
               OPTION_GROUP(other_rows, 0),
               OPTION_GROUP(query_server_rows, AT(query))},
};

/* ---- for the report --------------------------------------------------- */

static json_t *text_or_null(const char *text)
{
    return text != NULL ? json_text(text) : json_null();
}

static json_t *value_json(const struct option_row *row, const void *field)
{
    switch (row->type) {
    case OPTION_FLAG:
        return json_boolean(*(const bool *)field);
    case OPTION_NUMBER:
        return json_count(*(const uint64_t *)field);
    case OPTION_INDEX:
        return json_text(row->choices(*(const uint32_t *)field));
    case OPTION_TEXT:
    case OPTION_NAME:
        break;
    }
    return text_or_null(*(const char *const *)field);
}

static void print_given(const struct option_row *row, const void *field)
{
    char digits[24];
    const char *value = digits;
    switch (row->type) {
    case OPTION_FLAG:
        if (*(const bool *)field) {
            printf(" --%s", row->name);
        }
        return;
    case OPTION_NUMBER:
        snprintf(digits, sizeof(digits), "%" PRIu64, *(const uint64_t *)field);
        break;
    case OPTION_INDEX:
        value = row->choices(*(const uint32_t *)field);
        break;
    case OPTION_TEXT:
    case OPTION_NAME:
        value = *(const char *const *)field;
        break;
    }
    const char *fallback = row->fallback != NULL ? row->fallback : "";
    if (value != NULL && strcmp(value, fallback) != 0) {
        printf(" --%s ", row->name);
        text_print_word(stdout, value);
    }
}

void bench_args_print(const struct bench_args *args)
{
    for (size_t i = 0; i < args->operands.n; i++) {
        putchar(' ');
        text_print_word(stdout, args->operands.items[i]);
    }
    for (size_t g = 0; g < OPTION_GROUPS_MAX; g++) {
        const struct option_group *group = &table.groups[g];
        for (size_t i = 0; i < group->n_rows; i++) {
            const struct option_row *row = &group->rows[i];
            print_given(row, (const char *)args + group->offset + row->offset);
        }
    }
}

json_t *bench_args_json(const struct bench_args *args)
{
    json_t *object = json_object();
    for (size_t g = 0; g < OPTION_GROUPS_MAX; g++) {
        const struct option_group *group = &table.groups[g];
        for (size_t i = 0; group->rows != other_rows && i < group->n_rows;
             i++) {
            const struct option_row *row = &group->rows[i];
            const char *at = (const char *)args + group->offset + row->offset;
            json_put(&object, row->name, value_json(row, at));
        }
    }
    json_t *files = json_array();
    for (size_t i = 0; i < args->operands.n; i++) {
        json_append(&files, json_text(args->operands.items[i]));
    }
    json_put(&object, "files", files);
    return object;
}

/* ---- values ----------------------------------------------------------- */

static bool parse_number(const char *text, double least, double most,
                         double *value)
{
    return decimal_parse(text, strlen(text), value) && *value >= least &&
           *value <= most;
}

static int parse_seconds(const char *name, const char *text, double least,
                         double *value)
{
    return parse_number(text, least, TIME_MOST, value)
               ? 0
               : command_misused("bench",
                                 "--%s: '%s' is no number of seconds from %g "
                                 "to %g",
                                 name, text, least, TIME_MOST);
}

/* "FROM:TO:STEPS" */
static int parse_ramp(struct bench_args *args)
{
    const char *text = args->ramp_text;
    const char *first = strchr(text, ':');
    const char *second = first != NULL ? strchr(first + 1, ':') : NULL;
    double steps = 0;
    if (second == NULL ||
        !decimal_parse(text, (size_t)(first - text), &args->ramp_from) ||
        !decimal_parse(first + 1, (size_t)(second - first - 1),
                       &args->ramp_to) ||
        !parse_number(second + 1, 2, STEPS_MOST, &steps) ||
        args->ramp_from < 1 || args->ramp_to < args->ramp_from ||
        args->ramp_to > BENCH_RATE_MAX || steps != (double)(uint64_t)steps) {
        return command_misused("bench",
                               "--ramp: '%s' is not FROM:TO:STEPS, rates from "
                               "1 up and 2 to %d steps",
                               text, STEPS_MOST);
    }
    args->ramp_steps = (uint64_t)steps;
    return 0;
}

static bool parse_time(const char *text, uint64_t *ns)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    size_t digits = strspn(text, "0123456789.");
    double value;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].unit) == 0 &&
            decimal_parse(text, digits, &value) && value * units[i].ns >= 1 &&
            value * units[i].ns <= 1e15) {
            *ns = (uint64_t)(value * units[i].ns);
            return true;
        }
    }
    return false;
}

/* "p99=5ms" */
static int parse_slo(struct bench_args *args)
{
    const char *text = args->slo_text;
    const char *equals = strchr(text, '=');
    double percent = 0;
    if (text[0] != 'p' || equals == NULL ||
        !decimal_parse(text + 1, (size_t)(equals - text - 1), &percent) ||
        percent <= 0 || percent > 100 ||
        !parse_time(equals + 1, &args->slo_ns)) {
        return command_misused("bench",
                               "--slo: '%s' is not like p99=5ms or "
                               "p99.9=800us",
                               text);
    }
    args->slo_share = percent / 100;
    return 0;
}

static int parse_ids(struct bench_args *args)
{
    struct nb_errctx err;
    return id_choice_parse(args->ids, &args->choice, &args->trace, &err) == 0
               ? 0
               : command_misused("bench", "--ids: %s", err.text);
}

static int parse_values(struct bench_args *args)
{
    int status = parse_seconds("duration", args->duration_text, 0.001,
                               &args->duration_s);
    if (status == 0) {
        status =
            parse_seconds("warm-up", args->warmup_text, 0, &args->warmup_s);
    }
    if (status == 0) {
        status = parse_seconds("every", args->every_text, 0, &args->every_s);
    }
    if (status == 0 && args->rate_text != NULL &&
        !parse_number(args->rate_text, 0.001, BENCH_RATE_MAX, &args->rate)) {
        status = command_misused("bench",
                                 "--rate: '%s' is no number of requests/s "
                                 "from 0.001 to %g",
                                 args->rate_text, BENCH_RATE_MAX);
    }
    if (status == 0 &&
        !parse_number(args->scale_text, 1e-9, 1e6, &args->scale)) {
        status = command_misused("bench", "--scale: '%s' is no number above 0",
                                 args->scale_text);
    }
    if (status == 0 && args->ramp_text != NULL) {
        status = parse_ramp(args);
    }
    if (status == 0 && args->slo_text != NULL) {
        status = parse_slo(args);
    }
    return status == 0 ? parse_ids(args) : status;
}

/* ---- what goes together ----------------------------------------------- */

/* Whether --tables is a list of them; what they are is the server's to say. */
static bool is_list(const char *list, struct nb_errctx *err)
{
    const struct workload_options options = {.samples = 1};
    struct workload workload;
    int rv = workload_of_list(list, &options, &workload, err);
    if (rv == 0) {
        workload_fini(&workload);
    }
    return rv != NB_ERR_INVALID;
}

double bench_slo_least_rate(const struct bench_args *args)
{
    double beyond = (1 - args->slo_share) * args->duration_s;
    return beyond > 0 && beyond < 1 ? 1 / beyond : 1;
}

static int check_load(const struct bench_args *args)
{
    int status;
    struct nb_errctx err;
    bool pools = args->profile != NULL ? false : !args->lookup;
    if (!query_check("bench", &args->query, &status)) {
        return status;
    }
    if ((args->profile == NULL) == (args->tables == NULL)) {
        return command_misused("bench", "give one of --profile and --tables");
    }
    if (args->tables != NULL && !is_list(args->tables, &err)) {
        return command_misused("bench", "--tables: %s", err.text);
    }
    if (args->ramp_text != NULL && args->slo_text != NULL) {
        return command_misused("bench", "give one of --ramp and --slo");
    }
    if (args->threads > args->connections) {
        return command_misused("bench",
                               "each thread needs a connection: --threads is "
                               "above --connections");
    }
    if (pools && args->query.dtype == NB_PACKED) {
        return command_misused("bench", "--dtype packed goes with --lookup");
    }
    if (args->verify && (args->repo == NULL) == (args->operands.n == 0)) {
        return command_misused("bench",
                               "--verify needs either --repo or TABLE=FILE.nbt "
                               "to hold replies against");
    }
    if (!args->verify && args->operands.n > 0) {
        return command_misused("bench", "files are for --verify");
    }
    if (args->slo_text != NULL && args->rate_text != NULL &&
        args->rate < bench_slo_least_rate(args)) {
        return command_misused("bench",
                               "--slo %s takes a --rate of at least %.6g, or a "
                               "longer --duration",
                               args->slo_text, bench_slo_least_rate(args));
    }
    if (args->during != NULL && args->repo == NULL) {
        return command_misused("bench", "--during reload needs --repo");
    }
    return 0;
}

static int check_together(const struct bench_args *args)
{
    if (args->compare) {
        return args->operands.n == 2
                   ? 0
                   : command_misused("bench",
                                     "--compare takes two reports: A.json "
                                     "B.json");
    }
    if (args->make_tables != NULL) {
        return args->repo != NULL
                   ? 0
                   : command_misused("bench", "--make-tables needs --repo");
    }
    return check_load(args);
}

bool bench_args_parse(int argc, char **argv, struct bench_args *args,
                      int *status)
{
    *args = (struct bench_args){0};
    if (!options_parse(&table, argc, argv, args, status)) {
        return false;
    }
    *status = parse_values(args);
    if (*status == 0) {
        *status = check_together(args);
    }
    return *status == 0;
}
