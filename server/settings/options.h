/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What nibbled was told: options.def, from flags, the environment, a file,
 * defaults. */
#ifndef NB_SERVER_OPTIONS_H
#define NB_SERVER_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "quant/nibble.h"
#include "storage/table/table_reader.h"

/* The model that the tables of --table form. */
#define FILES_MODEL "default"

struct option_list {
    char **items; /* owned */
    size_t n;
};

#define OPTION_LIST    struct option_list
#define OPTION_TEXT    char * /* owned, never NULL */
#define OPTION_COUNT   uint64_t
#define OPTION_BYTES   uint64_t
#define OPTION_SECONDS uint64_t

struct options {
#define OPTION(field, flag, type, default_text, min, max, value, help)         \
    OPTION_##type field;
#include "server/settings/options.def"
#undef OPTION
};

enum options_action {
    OPTIONS_RUN,
    OPTIONS_CHECK, /* tell what is in effect, and end */
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_MAN
};

/* As getenv(): borrowed text or NULL. */
typedef const char *options_env_fn(const char *name);

/*
 * Fills *options from the defaults, then the file of --config, then the
 * environment, then argv[1] on, later ones replacing earlier ones, and checks
 * them as a whole. The caller ends *options with options_fini(). *action says
 * what was asked for; but with OPTIONS_RUN and OPTIONS_CHECK *options is empty.
 * NB_ERR_INVALID: *err names the flag, variable or line; NB_ERR_NOMEM, errors
 * of config_file_read().
 */
int options_parse(struct options *options, int argc, char *const *argv,
                  options_env_fn *env, enum options_action *action,
                  struct nb_errctx *err);
/* Of "NAME=VALUE": the length of a NAME that looks like the variable of an
 * option and is of none; 0: it is all right. */
size_t options_unknown_variable(const char *entry);

void options_fini(struct options *options);

/* As they are if nothing is given; the caller ends them with options_fini(),
 * also on failure. NB_ERR_NOMEM. */
int options_defaults(struct options *options, struct nb_errctx *err);

void options_print_help(FILE *to);
void options_print_man(FILE *to);

/* Writes what is in effect, as a file for --config. */
void options_print_config(const struct options *options, FILE *to);

/* Writes every option but the tables that is not as by default, as
 * ` flag=value`, for the log; a list with commas between. Those for which there
 * is no room are counted: ` left-out=N`. */
void options_describe(const struct options *options, char *to, size_t bytes);

/* How tables are checked when they are opened: --verify. */
enum table_verify options_verify(const struct options *options);

/* Splits "NAME=FILE" of --table; *file points into `text`, *name_bytes is the
 * length of the name, which stands first. NB_ERR_INVALID. */
int options_split_table(const char *text, size_t *name_bytes, const char **file,
                        struct nb_errctx *err);

#endif
