/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The options as people read them: --help, the man page, the log, a file. */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "server/log/log.h"
#include "server/settings/option_rows.h"

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
    "  nibbled --repo models\n";

static const char help_tail[] =
    "  --check-config\n"
    "      check all options, but no table or model, and print those in\n"
    "      effect as a file for --config\n"
    "  --version\n"
    "      print the version\n"
    "  --help\n"
    "      print this\n"
    "  --man\n"
    "      print this as a manual page\n"
    "\n"
    "Every option can be given in the environment: NIBBLED_MAX_IDS for\n"
    "--max-ids, lists separated by commas. A flag wins over the environment,\n"
    "which wins over the file of --config; there, a list is a line an item:\n"
    "\n"
    "  # /etc/nibbled.conf\n"
    "  repo = /var/lib/nibble\n"
    "  listen = 0.0.0.0:7700\n"
    "  listen = unix:/run/nibbled/socket\n"
    "\n"
    "Exit status: 0 stopped by a signal, 1 could not serve, 2 wrong usage.\n";

void options_print_help(FILE *to)
{
    fputs(help_head, to);
    fputs("\noptions:\n", to);
    for (size_t i = 0; i < option_rows_n; i++) {
        const struct option_row *row = &option_rows[i];
        fprintf(to, "  --%s %s%s\n      %s\n", row->flag, row->value,
                row->type == LIST ? " ..." : "", row->help);
        if (row->default_text[0] != '\0') {
            fprintf(to, "      default: %s\n", row->default_text);
        }
    }
    fputs(help_tail, to);
}

/* Its value as it may stand in a line of the log; items of a list with commas
 * between. */
static void value_text(const struct options *options,
                       const struct option_row *row, struct log_text *text)
{
    void *field = option_field(options, row);
    const struct option_list *list = field;
    char items[sizeof(text->text)] = "";
    size_t used = 0;
    switch (row->type) {
    case LIST:
        for (size_t i = 0; i < list->n && used < sizeof(items); i++) {
            used += (size_t)snprintf(items + used, sizeof(items) - used, "%s%s",
                                     i > 0 ? "," : "", list->items[i]);
        }
        log_quote(items, text);
        break;
    case TEXT:
        log_quote(*(char **)field, text);
        break;
    default:
        option_number_format(row, *(uint64_t *)field, text->text,
                             sizeof(text->text));
    }
}

void options_describe(const struct options *options, char *to, size_t bytes)
{
    struct options defaults = {0};
    struct nb_errctx err;
    struct log_text value;
    struct log_text fallback;
    bool all = options_defaults(&defaults, &err) != 0;
    size_t used = 0;
    unsigned left_out = 0;
    to[0] = '\0';
    for (size_t i = 0; i < option_rows_n; i++) {
        const struct option_row *row = &option_rows[i];
        char field[sizeof(value.text) + 64];
        value_text(options, row, &value);
        value_text(all ? options : &defaults, row, &fallback);
        if (row->offset == offsetof(struct options, tables) ||
            (!all && strcmp(value.text, fallback.text) == 0)) {
            continue;
        }
        size_t n = (size_t)snprintf(field, sizeof(field), " %s=%s", row->flag,
                                    value.text);
        if (used + n + sizeof(" left-out=99") > bytes) {
            left_out++;
            continue;
        }
        memcpy(to + used, field, n + 1);
        used += n;
    }
    if (left_out > 0) {
        snprintf(to + used, bytes - used, " left-out=%u", left_out);
    }
    options_fini(&defaults);
}

/* ---- a file -------------------------------------------------------------- */

static void print_line(const struct option_row *row, const char *text, FILE *to)
{
    fprintf(to, "%s = %s\n", row->flag, text);
}

void options_print_config(const struct options *options, FILE *to)
{
    for (size_t i = 0; i < option_rows_n; i++) {
        const struct option_row *row = &option_rows[i];
        void *field = option_field(options, row);
        const struct option_list *list = field;
        char number[32];
        if (row->offset == offsetof(struct options, config)) {
            continue; /* all that it says is here */
        }
        switch (row->type) {
        case LIST:
            for (size_t j = 0; j < list->n; j++) {
                print_line(row, list->items[j], to);
            }
            break;
        case TEXT:
            print_line(row, *(char **)field, to);
            break;
        default:
            option_number_format(row, *(uint64_t *)field, number,
                                 sizeof(number));
            print_line(row, number, to);
        }
    }
}

/* ---- the manual page ----------------------------------------------------- */

/* Text as it is: what roff would take for its own is escaped. */
static void put_roff(const char *text, FILE *to)
{
    for (bool first = true; *text != '\0'; text++) {
        if (first && (*text == '.' || *text == '\'')) {
            fputs("\\&", to);
        }
        if (*text == '\\' || *text == '-') {
            fputc('\\', to);
        }
        fputc(*text == '\\' ? 'e' : *text, to);
        first = *text == '\n';
    }
}

static void put_row(const struct option_row *row, FILE *to)
{
    fputs(".TP\n\\fB", to);
    put_roff("--", to);
    put_roff(row->flag, to);
    fprintf(to, "\\fR \\fI%s\\fR%s\n", row->value,
            row->type == LIST ? " ..." : "");
    put_roff(row->help, to);
    if (row->default_text[0] != '\0') {
        fputs(" (default: ", to);
        put_roff(row->default_text, to);
        fputc(')', to);
    }
    fputc('\n', to);
}

void options_print_man(FILE *to)
{
    fputs(".TH NIBBLED 8 \"\" \"nibble " NB_VERSION_STRING "\"\n"
          ".SH NAME\nnibbled \\- serve quantized embedding tables\n"
          ".SH DESCRIPTION\n.nf\n",
          to);
    put_roff(help_head, to);
    fputs(".fi\n.SH OPTIONS\n", to);
    for (size_t i = 0; i < option_rows_n; i++) {
        put_row(&option_rows[i], to);
    }
    fputs(".SH NOTES\n.nf\n", to);
    put_roff(help_tail, to);
    fputs(".fi\n.SH SEE ALSO\nThe files ARCHITECTURE.md and "
          "server/OPERATIONS.md of the sources.\n",
          to);
}
