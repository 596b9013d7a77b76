/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/options.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "quant/checked.h"
#include "server/log.h"
#include "server/options_check.h"

enum option_type {
    LIST,
    TEXT,
    COUNT,
    BYTES,
    SECONDS
};

struct option {
    const char *flag;
    const char *default_text;
    const char *value;
    const char *help;
    uint64_t min;
    uint64_t max;
    size_t offset; /* of the field in struct options */
    enum option_type type;
};

static const struct option table[] = {
#define OPTION(field, flag, type, default_text, min, max, value, help)         \
    {                                                                          \
        flag,                                                                  \
        default_text,                                                          \
        value,                                                                 \
        help,                                                                  \
        min,                                                                   \
        max,                                                                   \
        offsetof(struct options, field),                                       \
        type},
#include "server/options.def"
#undef OPTION
};
#define N_OPTIONS (sizeof(table) / sizeof(table[0]))

static void *field_of(const struct options *options, const struct option *row)
{
    return (char *)options + row->offset;
}

/* ---- values ---------------------------------------------------------- */

/* Digits to a number; *end is the first character that is none. */
static bool parse_digits(const char *text, const char **end, uint64_t *number)
{
    uint64_t sum = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (!checked_mul(sum, 10, &sum) ||
            !checked_add(sum, (uint64_t)(*at - '0'), &sum)) {
            return false;
        }
    }
    *end = at;
    *number = sum;
    return at != text;
}

static bool parse_count(const char *text, uint64_t *number)
{
    const char *end;
    return parse_digits(text, &end, number) && *end == '\0';
}

static bool parse_bytes(const char *text, uint64_t *number)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    const char *end;
    if (!parse_digits(text, &end, number)) {
        return false;
    }
    while (*end == ' ') {
        end++;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) == 0) {
            return checked_mul(*number, UINT64_C(1) << units[i].shift, number);
        }
    }
    return false;
}

/* "1.5" to 1500 */
static bool parse_seconds(const char *text, uint64_t *number)
{
    const char *end;
    uint64_t ms = 0;
    if (!parse_digits(text, &end, &ms) || !checked_mul(ms, 1000, &ms)) {
        return false;
    }
    if (*end == '.') {
        uint64_t weight = 100;
        for (end++; *end >= '0' && *end <= '9' && weight > 0; end++) {
            ms += weight * (uint64_t)(*end - '0');
            weight /= 10;
        }
    }
    *number = ms;
    return *end == '\0';
}

static const struct {
    bool (*parse)(const char *text, uint64_t *number);
    const char *form;
} number_types[] = {
    [COUNT] = {parse_count, "an integer"},
    [BYTES] = {parse_bytes, "bytes, such as 65536 or 64 KiB"},
    [SECONDS] = {parse_seconds, "seconds, such as 30 or 0.5"},
};

static void format_value(const struct option *row, uint64_t number, char *to,
                         size_t bytes)
{
    if (row->type == SECONDS) {
        snprintf(to, bytes, "%llu.%03llu", (unsigned long long)number / 1000,
                 (unsigned long long)number % 1000);
    } else {
        snprintf(to, bytes, "%llu", (unsigned long long)number);
    }
}

static int set_number(const struct option *row, const char *origin,
                      const char *text, uint64_t *field, struct nb_errctx *err)
{
    uint64_t number;
    if (!number_types[row->type].parse(text, &number)) {
        return nb_fail(err, NB_ERR_INVALID, "%s: '%.80s' is not %s", origin,
                       text, number_types[row->type].form);
    }
    if (number < row->min || number > row->max) {
        char min[32];
        char max[32];
        format_value(row, row->min, min, sizeof(min));
        format_value(row, row->max, max, sizeof(max));
        return nb_fail(err, NB_ERR_INVALID, "%s: %.80s is not within %s to %s",
                       origin, text, min, max);
    }
    *field = number;
    return 0;
}

static int set_text(const struct option *row, const char *origin,
                    const char *text, char **field, struct nb_errctx *err)
{
    if (strlen(text) > row->max) {
        return nb_fail(err, NB_ERR_INVALID, "%s: over %llu characters", origin,
                       (unsigned long long)row->max);
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", origin);
    }
    free(*field);
    *field = copy;
    return 0;
}

static void clear_list(struct option_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct option_list){0};
}

static int append_item(const struct option *row, const char *origin,
                       const char *text, size_t bytes, struct option_list *list,
                       struct nb_errctx *err)
{
    if (list->n >= row->max) {
        return nb_fail(err, NB_ERR_INVALID, "%s: given over %llu times", origin,
                       (unsigned long long)row->max);
    }
    char **items = realloc(list->items, (list->n + 1) * sizeof(*items));
    if (items == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", origin);
    }
    list->items = items;
    items[list->n] = strndup(text, bytes);
    if (items[list->n] == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", origin);
    }
    list->n++;
    return 0;
}

/* Replaces a list by the parts of a comma list. */
static int set_list(const struct option *row, const char *origin,
                    const char *text, struct option_list *list,
                    struct nb_errctx *err)
{
    clear_list(list);
    int rv = 0;
    while (rv == 0 && *text != '\0') {
        size_t bytes = strcspn(text, ",");
        rv = append_item(row, origin, text, bytes, list, err);
        text += bytes + (text[bytes] == ',');
    }
    return rv;
}

static int set_field(struct options *options, const struct option *row,
                     const char *origin, const char *text,
                     struct nb_errctx *err)
{
    void *field = field_of(options, row);
    switch (row->type) {
    case LIST:
        return set_list(row, origin, text, field, err);
    case TEXT:
        return set_text(row, origin, text, field, err);
    default:
        return set_number(row, origin, text, field, err);
    }
}

/* ---- sources --------------------------------------------------------- */

static int take_defaults(struct options *options, struct nb_errctx *err)
{
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < N_OPTIONS; i++) {
        rv = set_field(options, &table[i], table[i].flag, table[i].default_text,
                       err);
    }
    return rv;
}

/* "max-ids" to "NIBBLED_MAX_IDS" */
static void variable_name(const char *flag, char *to, size_t bytes)
{
    size_t n = (size_t)snprintf(to, bytes, "NIBBLED_%s", flag);
    for (size_t i = 0; i < n && i < bytes - 1; i++) {
        if (to[i] == '-') {
            to[i] = '_';
        } else {
            to[i] = (char)toupper((unsigned char)to[i]);
        }
    }
}

static int take_environment(struct options *options, options_env_fn *env,
                            struct nb_errctx *err)
{
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < N_OPTIONS; i++) {
        char name[64];
        variable_name(table[i].flag, name, sizeof(name));
        const char *text = env(name);
        if (text != NULL) {
            rv = set_field(options, &table[i], name, text, err);
        }
    }
    return rv;
}

/* The row of `--flag` or `--flag=value`; *value is NULL without a '='. */
static const struct option *find_flag(const char *arg, const char **value)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        size_t bytes = strlen(table[i].flag);
        if (strncmp(arg + 2, table[i].flag, bytes) == 0 &&
            (arg[2 + bytes] == '\0' || arg[2 + bytes] == '=')) {
            *value = arg[2 + bytes] == '=' ? arg + 2 + bytes + 1 : NULL;
            return &table[i];
        }
    }
    return NULL;
}

/* The first flag of a list replaces what the environment or the default gave;
 * further ones append. */
static int take_flag(struct options *options, const struct option *row,
                     bool *given, const char *value, struct nb_errctx *err)
{
    char origin[64];
    snprintf(origin, sizeof(origin), "--%s", row->flag);
    if (row->type != LIST) {
        return set_field(options, row, origin, value, err);
    }
    struct option_list *list = field_of(options, row);
    if (!*given) {
        clear_list(list);
        *given = true;
    }
    return append_item(row, origin, value, strlen(value), list, err);
}

static int take_flags(struct options *options, int argc, char *const *argv,
                      struct nb_errctx *err)
{
    bool given[N_OPTIONS] = {false};
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strncmp(arg, "--", 2) != 0) {
            return nb_fail(err, NB_ERR_INVALID,
                           "'%.80s' is not an option; see nibbled --help", arg);
        }
        const char *value;
        const struct option *row = find_flag(arg, &value);
        if (row == NULL) {
            return nb_fail(err, NB_ERR_INVALID,
                           "no option '%.80s'; see nibbled --help", arg);
        }
        if (value == NULL && ++i < argc) {
            value = argv[i];
        }
        if (value == NULL) {
            return nb_fail(err, NB_ERR_INVALID, "--%s: %s is missing",
                           row->flag, row->value);
        }
        int rv = take_flag(options, row, &given[row - table], value, err);
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

/* ---- the whole ------------------------------------------------------- */

static int check_whole(const struct options *options, struct nb_errctx *err)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct option *row = &table[i];
        const struct option_list *list = field_of(options, row);
        if (row->type == LIST && list->n < row->min) {
            return nb_fail(err, NB_ERR_INVALID,
                           "--%s %s is missing; see nibbled --help", row->flag,
                           row->value);
        }
    }
    return options_check(options, err);
}

/* --help and --version win over whatever stands beside them. */
static enum options_action find_action(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return OPTIONS_HELP;
        }
        if (strcmp(argv[i], "--version") == 0) {
            return OPTIONS_VERSION;
        }
    }
    return OPTIONS_RUN;
}

int options_parse(struct options *options, int argc, char *const *argv,
                  options_env_fn *env, enum options_action *action,
                  struct nb_errctx *err)
{
    *options = (struct options){0};
    *action = find_action(argc, argv);
    if (*action != OPTIONS_RUN) {
        return 0;
    }
    int rv = take_defaults(options, err);
    if (rv == 0) {
        rv = take_environment(options, env, err);
    }
    if (rv == 0) {
        rv = take_flags(options, argc, argv, err);
    }
    if (rv == 0) {
        rv = check_whole(options, err);
    }
    if (rv != 0) {
        options_fini(options);
    }
    return rv;
}

void options_fini(struct options *options)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        void *field = field_of(options, &table[i]);
        if (table[i].type == LIST) {
            clear_list(field);
        } else if (table[i].type == TEXT) {
            free(*(char **)field);
        }
    }
    *options = (struct options){0};
}

static const char help_head[] =
    "nibbled: serve quantized embedding tables over TCP.\n"
    "\n"
    "Usage: nibbled --repo DIR [--model NAME ...] [options]\n"
    "       nibbled --table NAME=FILE [--table NAME=FILE ...] [options]\n"
    "\n"
    "Maps table files made by `nibble quantize` and answers batched row "
    "lookup\n"
    "and pooling (sum, mean, max of bags of rows). --repo serves models that\n"
    "`nibble publish` put into a repository: of each the pinned version, or "
    "the\n"
    "highest that is whole. --table serves files as they are: they form one\n"
    "model, `default`, version 1. SIGTERM and SIGINT finish what is in "
    "flight,\n"
    "then exit 0; a second one exits at once.\n"
    "\n"
    "  nibble quantize --input glove.6B.50d.txt --output words.nbt\n"
    "  nibbled --table words=words.nbt --listen 127.0.0.1:7700\n"
    "  nibble lookup --server 127.0.0.1:7700 --table words --ids 0,1,2\n"
    "\n"
    "  nibble publish --repo models --model glove words=words.nbt\n"
    "  nibbled --repo models\n"
    "\n"
    "options:\n";

static const char help_tail[] =
    "  --version\n"
    "      print the version\n"
    "  --help\n"
    "      print this\n"
    "\n"
    "Every option can be given in the environment: NIBBLED_MAX_IDS for\n"
    "--max-ids, lists separated by commas. A flag wins over the environment.\n"
    "Exit status: 0 stopped by a signal, 1 could not serve, 2 wrong usage.\n";

void options_print_help(FILE *to)
{
    fputs(help_head, to);
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct option *row = &table[i];
        fprintf(to, "  --%s %s%s\n      %s\n", row->flag, row->value,
                row->type == LIST ? " ..." : "", row->help);
        if (row->default_text[0] != '\0') {
            fprintf(to, "      default: %s\n", row->default_text);
        }
    }
    fputs(help_tail, to);
}

void options_describe(const struct options *options, char *to, size_t bytes)
{
    size_t used = 0;
    to[0] = '\0';
    for (size_t i = 0; i < N_OPTIONS && used < bytes; i++) {
        const struct option *row = &table[i];
        char number[32];
        const char *text = number;
        if (row->type == LIST) {
            continue;
        }
        struct log_text quoted;
        if (row->type == TEXT) {
            text = log_quote(*(char **)field_of(options, row), &quoted);
        } else {
            format_value(row, *(uint64_t *)field_of(options, row), number,
                         sizeof(number));
        }
        used += (size_t)snprintf(to + used, bytes - used, " %s=%s", row->flag,
                                 text);
    }
}
