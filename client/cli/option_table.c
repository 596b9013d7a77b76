/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/option_table.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/number_list.h"

#define ROWS_MAX 32
/* Values of getopt's `val`, above those of characters. */
enum {
    HELP = 256,
    FIRST_ROW
};
/* Column of --help at which explanations begin. */
#define HELP_COLUMN 26
#define PAGE_WIDTH  80

/* The i-th row of all groups together; NULL past the end. *offset is where its
 * field is in the arguments. */
static const struct option_row *row_at(const struct option_table *table,
                                       size_t i, size_t *offset)
{
    for (size_t g = 0; g < OPTION_GROUPS_MAX; g++) {
        const struct option_group *group = &table->groups[g];
        if (i < group->n_rows) {
            *offset = group->offset + group->rows[i].offset;
            return &group->rows[i];
        }
        i -= group->n_rows;
    }
    return NULL;
}

/* ---- help ------------------------------------------------------------- */

/* Text in a column of the page: words go to the next line where they do not
 * fit. */
struct column {
    int indent;
    int at; /* characters in the line so far */
};

static void put_word(struct column *column, const char *word, int n)
{
    if (column->at > column->indent) {
        if (column->at + 1 + n > PAGE_WIDTH) {
            printf("\n%*s", column->indent, "");
            column->at = column->indent;
        } else {
            printf(" ");
            column->at++;
        }
    }
    printf("%.*s", n, word);
    column->at += n;
}

static void put_words(struct column *column, const char *text)
{
    while (*text != '\0') {
        int n = (int)strcspn(text, " ");
        put_word(column, text, n);
        text += text[n] == ' ' ? n + 1 : n;
    }
}

/* What values the option takes, and which it has if it is not given. */
static void put_bounds(struct column *column, const struct option_row *row)
{
    char word[64]; /* all of these texts are ours, and short */
    const char *choice;
    for (size_t i = 0;
         row->choices != NULL && (choice = row->choices(i)) != NULL; i++) {
        snprintf(word, sizeof(word), "%s%s%s", i == 0 ? "[" : "", choice,
                 row->choices(i + 1) != NULL ? "," : "]");
        put_words(column, word);
    }
    if (row->required) {
        put_words(column, "(required)");
    } else if (row->fallback != NULL) {
        snprintf(word, sizeof(word), "(default: %s)", row->fallback);
        put_word(column, word, (int)strlen(word));
    }
}

static void print_row(const struct option_row *row)
{
    int n = printf("  --%s%s%s", row->name, row->value != NULL ? " " : "",
                   row->value != NULL ? row->value : "");
    struct column column = {HELP_COLUMN, HELP_COLUMN};
    if (n >= HELP_COLUMN) {
        printf("\n%*s", HELP_COLUMN, "");
    } else {
        printf("%*s", HELP_COLUMN - n, "");
    }
    put_words(&column, row->help);
    put_bounds(&column, row);
    printf("\n");
}

static void print_usage(const struct option_table *table)
{
    printf("Usage: nibble %s", table->command);
    if (table->operand != NULL) {
        printf(table->operand_optional ? " [%s]" : " %s", table->operand);
        printf("%s", table->operand_many ? "..." : "");
    }
    const struct option_row *row;
    size_t offset = 0;
    bool optional = false;
    for (size_t i = 0; (row = row_at(table, i, &offset)) != NULL; i++) {
        optional = optional || !row->required;
        if (row->required) {
            printf(" --%s %s", row->name, row->value);
        }
    }
    printf("%s\n\n", optional ? " [OPTION]..." : "");
}

static void print_help(const struct option_table *table)
{
    print_usage(table);
    struct column column = {0, 0};
    put_words(&column, table->about);
    printf("\n");
    const struct option_row *row;
    size_t offset = 0;
    for (size_t i = 0; (row = row_at(table, i, &offset)) != NULL; i++) {
        printf("%s", i == 0 ? "\n" : "");
        print_row(row);
    }
    printf("\nExample:\n%s\n", table->example);
}

/* ---- the manual page ---------------------------------------------------- */

/* Text as it is: what roff would take for its own is escaped. */
static void put_roff(const char *text)
{
    for (bool first = true; *text != '\0'; text++) {
        if (first && (*text == '.' || *text == '\'')) {
            printf("\\&");
        }
        if (*text == '\\' || *text == '-') {
            putchar('\\');
        }
        putchar(*text == '\\' ? 'e' : *text);
        first = *text == '\n';
    }
}

static void put_man_row(const struct option_row *row)
{
    printf(".TP\n\\fB\\-\\-");
    put_roff(row->name);
    printf("\\fR \\fI");
    put_roff(row->value != NULL ? row->value : "");
    printf("\\fR\n");
    put_roff(row->help);
    const char *choice;
    for (size_t i = 0;
         row->choices != NULL && (choice = row->choices(i)) != NULL; i++) {
        printf("%s", i == 0 ? " [" : ", ");
        put_roff(choice);
        printf("%s", row->choices(i + 1) != NULL ? "" : "]");
    }
    if (row->required) {
        printf(" (required)");
    } else if (row->fallback != NULL) {
        printf(" (default: ");
        put_roff(row->fallback);
        putchar(')');
    }
    putchar('\n');
}

static void print_man(const struct option_table *table)
{
    printf(".SS nibble %s", table->command);
    if (table->operand != NULL) {
        printf(table->operand_optional ? " [%s]" : " %s", table->operand);
        printf("%s", table->operand_many ? "..." : "");
    }
    printf("\n");
    put_roff(table->about);
    printf("\n");
    const struct option_row *row;
    size_t offset = 0;
    for (size_t i = 0; (row = row_at(table, i, &offset)) != NULL; i++) {
        put_man_row(row);
    }
    printf(".PP\n.nf\n");
    put_roff(table->example);
    printf("\n.fi\n");
}

/* ---- parsing ---------------------------------------------------------- */

static void print_choices(const struct option_row *row)
{
    const char *choice;
    for (size_t i = 0; (choice = row->choices(i)) != NULL; i++) {
        fprintf(stderr, "%s%s", i > 0 ? ", " : "", choice);
    }
}

static int wrong_choice(const struct option_table *table,
                        const struct option_row *row, const char *text)
{
    fprintf(stderr, "nibble %s: --%s: no '%s', there is ", table->command,
            row->name, text);
    print_choices(row);
    fprintf(stderr, "\n");
    return COMMAND_USAGE;
}

static int take_choice(const struct option_table *table,
                       const struct option_row *row, const char *text,
                       void *field)
{
    const char *choice;
    for (size_t i = 0; (choice = row->choices(i)) != NULL; i++) {
        if (strcmp(choice, text) != 0) {
            continue;
        }
        if (row->type == OPTION_INDEX) {
            *(uint32_t *)field = (uint32_t)i;
        } else {
            *(const char **)field = choice;
        }
        return 0;
    }
    return wrong_choice(table, row, text);
}

static int take_number(const struct option_table *table,
                       const struct option_row *row, const char *text,
                       uint64_t *field)
{
    uint64_t value;
    if (!number_parse(text, strlen(text), &value) || value < row->min ||
        value > row->max) {
        return command_misused(
            table->command,
            "--%s: '%s' is not a whole number from %llu to %llu", row->name,
            text, (unsigned long long)row->min, (unsigned long long)row->max);
    }
    *field = value;
    return 0;
}

/* 0, or an exit status. */
static int take_value(const struct option_table *table,
                      const struct option_row *row, const char *text,
                      void *field)
{
    switch (row->type) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return 0;
    case OPTION_TEXT:
        *(const char **)field = text;
        return 0;
    case OPTION_NUMBER:
        return take_number(table, row, text, field);
    case OPTION_NAME:
    case OPTION_INDEX:
        return take_choice(table, row, text, field);
    }
    return 0;
}

static int take_fallbacks(const struct option_table *table, void *args)
{
    const struct option_row *row;
    size_t offset = 0;
    int status = 0;
    for (size_t i = 0; status == 0 && (row = row_at(table, i, &offset)) != NULL;
         i++) {
        if (row->fallback != NULL) {
            status =
                take_value(table, row, row->fallback, (char *)args + offset);
        }
    }
    return status;
}

/* An operand that no command takes; where an option is missing that it may be
 * the value of, that is said. */
static int refuse_operand(const struct option_table *table, const char *operand,
                          const bool *given)
{
    const struct option_row *row;
    size_t offset = 0;
    for (size_t i = 0; (row = row_at(table, i, &offset)) != NULL; i++) {
        if (row->required && !given[i]) {
            return command_misused(
                table->command, "'%s' is one operand too many: is it --%s %s?",
                operand, row->name, row->value);
        }
    }
    return command_misused(table->command, "'%s' is one operand too many",
                           operand);
}

static int take_operand(const struct option_table *table, int argc, char **argv,
                        const bool *given, void *args)
{
    int n = argc - optind;
    if (table->operand_many && n > 0) {
        struct operand_list *list =
            (void *)((char *)args + table->operand_offset);
        *list = (struct operand_list){argv + optind, (size_t)n};
        return 0;
    }
    if (n > (table->operand != NULL ? 1 : 0)) {
        return refuse_operand(table, argv[argc - 1], given);
    }
    if (n == 1) {
        *(const char **)((char *)args + table->operand_offset) = argv[optind];
    } else if (table->operand != NULL && !table->operand_optional) {
        return command_misused(table->command, "no %s given", table->operand);
    }
    return 0;
}

static int check_required(const struct option_table *table, const bool *given)
{
    const struct option_row *row;
    size_t offset = 0;
    for (size_t i = 0; (row = row_at(table, i, &offset)) != NULL; i++) {
        if (row->required && !given[i]) {
            return command_misused(table->command, "--%s is missing",
                                   row->name);
        }
    }
    return 0;
}

static bool is_given(const struct option_table *table, const char *name,
                     const bool *given)
{
    const struct option_row *row;
    size_t offset = 0;
    for (size_t i = 0; (row = row_at(table, i, &offset)) != NULL; i++) {
        if (strcmp(row->name, name) == 0) {
            return given[i];
        }
    }
    return false;
}

static int check_together(const struct option_table *table, const bool *given)
{
    const struct option_row *row;
    size_t offset = 0;
    for (size_t i = 0; (row = row_at(table, i, &offset)) != NULL; i++) {
        if (given[i] && row->with != NULL &&
            !is_given(table, row->with, given)) {
            return command_misused(table->command, "--%s goes with --%s",
                                   row->name, row->with);
        }
        if (given[i] && row->without != NULL &&
            is_given(table, row->without, given)) {
            return command_misused(table->command, "--%s does not go with --%s",
                                   row->name, row->without);
        }
    }
    return 0;
}

static void make_long_options(const struct option_table *table,
                              struct option *options)
{
    const struct option_row *row;
    size_t offset = 0;
    size_t n = 0;
    for (; (row = row_at(table, n, &offset)) != NULL; n++) {
        assert(n < ROWS_MAX);
        options[n] = (struct option){
            .name = row->name,
            .has_arg =
                row->type == OPTION_FLAG ? no_argument : required_argument,
            .val = FIRST_ROW + (int)n,
        };
    }
    options[n] = (struct option){.name = "help", .val = HELP};
    options[n + 1] = (struct option){0};
}

/* What getopt stumbled over: '?' or ':', told by the argument it was at. */
static int refuse(const struct option_table *table, int problem, char **argv)
{
    const char *at = argv[optind - 1];
    return command_misused(
        table->command,
        problem == ':' ? "%s needs a value" : "there is no option '%s'", at);
}

bool options_parse(const struct option_table *table, int argc, char **argv,
                   void *args, int *status)
{
    if (argc == 2 && strcmp(argv[1], OPTION_MAN) == 0) {
        print_man(table);
        *status = COMMAND_DONE;
        return false;
    }
    struct option options[ROWS_MAX + 2];
    bool given[ROWS_MAX] = {false};
    make_long_options(table, options);
    *status = take_fallbacks(table, args);
    optind = 0; /* glibc: start anew, also after an earlier command line */
    int value;
    while (*status == 0 &&
           /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread */
           (value = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (value == 'h' || value == HELP) {
            print_help(table);
            return false;
        }
        if (value < FIRST_ROW) {
            *status = refuse(table, value, argv);
            return false;
        }
        size_t offset = 0;
        size_t i = (size_t)(value - FIRST_ROW);
        const struct option_row *row = row_at(table, i, &offset);
        *status = given[i] && row->type != OPTION_FLAG
                      ? command_misused(table->command, "--%s is given twice",
                                        row->name)
                      : take_value(table, row, optarg, (char *)args + offset);
        given[i] = true;
    }
    if (*status == 0) {
        *status = take_operand(table, argc, argv, given, args);
    }
    if (*status == 0) {
        *status = check_required(table, given);
    }
    if (*status == 0) {
        *status = check_together(table, given);
    }
    return *status == 0;
}
