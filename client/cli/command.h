/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What every subcommand shares: its form, its exit status, its error line. */
#ifndef NB_CLI_COMMAND_H
#define NB_CLI_COMMAND_H

#include <stddef.h>

#include "quant/nibble.h"

/* Exit status of the program, and so of every command. */
enum {
    COMMAND_DONE = 0,
    COMMAND_FAILED = 1,
    COMMAND_USAGE = 2
};

/* argv[0] is the command's name. Returns an exit status. */
typedef int command_fn(int argc, char **argv);

struct command {
    const char *name;
    const char *help; /* one line */
    command_fn *run;
};

#define COMMAND(name, help) command_fn cmd_##name;
#include "client/cli/commands.def"
#undef COMMAND

/* The i-th of commands.def; NULL past the end. */
const struct command *command_at(size_t i);
/* NULL if there is none. */
const struct command *command_by_name(const char *name);

/* Prints "nibble COMMAND: TEXT" on stderr, where TEXT is *err's or, if that is
 * empty, what `code` means. Returns COMMAND_FAILED. */
int command_fail(const char *command, int code, const struct nb_errctx *err);

/* The same for a command line that makes no sense, with a pointer to --help.
 * Returns COMMAND_USAGE. */
int command_misused(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
