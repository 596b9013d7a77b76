/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/settings/options.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/checked.h"
#include "server/settings/config_file.h"
#include "server/settings/option_rows.h"
#include "server/settings/options_check.h"

/* How many there are. */
enum {
#define OPTION(field, flag, type, default_text, min, max, value, help)         \
    ROW_##field,
#include "server/settings/options.def"
#undef OPTION
    OPTION_ROWS
};

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
            if (!checked_add(ms, weight * (uint64_t)(*end - '0'), &ms)) {
                return false;
            }
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
    [SECONDS] = {parse_seconds,
                 "seconds, such as 30 or 0.5, no finer than 0.001"},
};

static int set_number(const struct option_row *row, const char *origin,
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
        option_number_format(row, row->min, min, sizeof(min));
        option_number_format(row, row->max, max, sizeof(max));
        return nb_fail(err, NB_ERR_INVALID, "%s: %.80s is not within %s to %s",
                       origin, text, min, max);
    }
    *field = number;
    return 0;
}

static int set_text(const struct option_row *row, const char *origin,
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

static int append_item(const struct option_row *row, const char *origin,
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
static int set_list(const struct option_row *row, const char *origin,
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

static int set_field(struct options *options, const struct option_row *row,
                     const char *origin, const char *text,
                     struct nb_errctx *err)
{
    void *field = option_field(options, row);
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

int options_defaults(struct options *options, struct nb_errctx *err)
{
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < option_rows_n; i++) {
        rv = set_field(options, &option_rows[i], option_rows[i].flag,
                       option_rows[i].default_text, err);
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

/* Kubernetes tells every container of a service called nibbled by these. */
static bool is_of_service(const char *entry)
{
    return strncmp(entry, "NIBBLED_SERVICE_", 16) == 0 ||
           strncmp(entry, "NIBBLED_PORT=", 13) == 0 ||
           strncmp(entry, "NIBBLED_PORT_", 13) == 0;
}

size_t options_unknown_variable(const char *entry)
{
    size_t bytes = strcspn(entry, "=");
    char name[64];
    if (strncmp(entry, "NIBBLED_", 8) != 0 || is_of_service(entry)) {
        return 0;
    }
    for (size_t i = 0; i < option_rows_n; i++) {
        variable_name(option_rows[i].flag, name, sizeof(name));
        if (strlen(name) == bytes && memcmp(name, entry, bytes) == 0) {
            return 0;
        }
    }
    return bytes;
}

static int take_environment(struct options *options, options_env_fn *env,
                            struct nb_errctx *err)
{
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < option_rows_n; i++) {
        char name[64];
        variable_name(option_rows[i].flag, name, sizeof(name));
        const char *text = env(name);
        if (text != NULL) {
            rv = set_field(options, &option_rows[i], name, text, err);
        }
    }
    return rv;
}

/* The row of `--flag` or `--flag=value`; *value is NULL without a '='. */
static const struct option_row *find_flag(const char *arg, const char **value)
{
    size_t bytes = strcspn(arg + 2, "=");
    *value = arg[2 + bytes] == '=' ? arg + 2 + bytes + 1 : NULL;
    return option_row_find(arg + 2, bytes);
}

/* The first of a list from a source replaces what the sources before gave;
 * further ones append. */
static int take_value(struct options *options, const struct option_row *row,
                      bool *given, const char *origin, const char *value,
                      struct nb_errctx *err)
{
    if (row->type != LIST) {
        return set_field(options, row, origin, value, err);
    }
    struct option_list *list = option_field(options, row);
    if (!given[row - option_rows]) {
        clear_list(list);
        given[row - option_rows] = true;
    }
    return append_item(row, origin, value, strlen(value), list, err);
}

struct file_lines {
    struct options *options;
    bool given[OPTION_ROWS];
};

static int take_line(void *arg, const char *origin, const char *key,
                     const char *value, struct nb_errctx *err)
{
    struct file_lines *lines = arg;
    const struct option_row *row = option_row_find(key, strlen(key));
    char where[256];
    if (row == NULL || row->offset == offsetof(struct options, config)) {
        return nb_fail(err, NB_ERR_INVALID, "%s: no option '%.80s'", origin,
                       key);
    }
    snprintf(where, sizeof(where), "%s: %s", origin, key);
    return take_value(lines->options, row, lines->given, where, value, err);
}

static int take_file(struct options *options, const char *path,
                     struct nb_errctx *err)
{
    struct file_lines lines = {.options = options};
    return config_file_read(path, take_line, &lines, err);
}

static int take_flags(struct options *options, int argc, char *const *argv,
                      struct nb_errctx *err)
{
    bool given[OPTION_ROWS] = {false};
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strncmp(arg, "--", 2) != 0) {
            return nb_fail(err, NB_ERR_INVALID,
                           "'%.80s' is not an option; see nibbled --help", arg);
        }
        const char *value;
        if (strcmp(arg, "--check-config") == 0) {
            continue;
        }
        const struct option_row *row = find_flag(arg, &value);
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
        char origin[64];
        snprintf(origin, sizeof(origin), "--%s", row->flag);
        int rv = take_value(options, row, given, origin, value, err);
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

/* ---- the whole ------------------------------------------------------- */

static int check_whole(const struct options *options, struct nb_errctx *err)
{
    for (size_t i = 0; i < option_rows_n; i++) {
        const struct option_row *row = &option_rows[i];
        const struct option_list *list = option_field(options, row);
        if (row->type == LIST && list->n < row->min) {
            return nb_fail(err, NB_ERR_INVALID,
                           "--%s %s is missing; see nibbled --help", row->flag,
                           row->value);
        }
    }
    return options_check(options, err);
}

/* They win over whatever stands beside them, the first over the next. */
static enum options_action find_action(int argc, char *const *argv)
{
    static const struct {
        const char *flag;
        enum options_action action;
    } actions[] = {
        {"--help", OPTIONS_HELP},          {"-h", OPTIONS_HELP},
        {"--version", OPTIONS_VERSION},    {"--man", OPTIONS_MAN},
        {"--check-config", OPTIONS_CHECK},
    };
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        for (int j = 1; j < argc; j++) {
            if (strcmp(argv[j], actions[i].flag) == 0) {
                return actions[i].action;
            }
        }
    }
    return OPTIONS_RUN;
}

/* Defaults, the file of that name, "" for none, the environment, flags. */
static int take_sources(struct options *options, const char *file, int argc,
                        char *const *argv, options_env_fn *env,
                        struct nb_errctx *err)
{
    int rv = options_defaults(options, err);
    if (rv == 0 && file[0] != '\0') {
        rv = take_file(options, file, err);
    }
    if (rv == 0) {
        rv = take_environment(options, env, err);
    }
    return rv == 0 ? take_flags(options, argc, argv, err) : rv;
}

int options_parse(struct options *options, int argc, char *const *argv,
                  options_env_fn *env, enum options_action *action,
                  struct nb_errctx *err)
{
    *options = (struct options){0};
    *action = find_action(argc, argv);
    if (*action != OPTIONS_RUN && *action != OPTIONS_CHECK) {
        return 0;
    }
    /* Once for the name of the file, which comes before what tells it. */
    int rv = take_sources(options, "", argc, argv, env, err);
    if (rv == 0 && options->config[0] != '\0') {
        struct options first = *options;
        *options = (struct options){0};
        rv = take_sources(options, first.config, argc, argv, env, err);
        options_fini(&first);
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
    for (size_t i = 0; i < option_rows_n; i++) {
        void *field = option_field(options, &option_rows[i]);
        if (option_rows[i].type == LIST) {
            clear_list(field);
        } else if (option_rows[i].type == TEXT) {
            free(*(char **)field);
        }
    }
    *options = (struct options){0};
}
