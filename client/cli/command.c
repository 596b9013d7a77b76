/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
#define COMMAND(name, help) {#name, help, cmd_##name},
#include "client/cli/commands.def"
#undef COMMAND
};

const struct command *command_at(size_t i)
{
    return i < sizeof(commands) / sizeof(commands[0]) ? &commands[i] : NULL;
}

const struct command *command_by_name(const char *name)
{
    const struct command *command;
    for (size_t i = 0; (command = command_at(i)) != NULL; i++) {
        if (strcmp(command->name, name) == 0) {
            return command;
        }
    }
    return NULL;
}

int command_fail(const char *command, int code, const struct nb_errctx *err)
{
    struct nb_errctx line;
    nb_fail(&line, code, "%s",
            err->text[0] != '\0' ? err->text : nb_strerror(code));
    for (char *c = line.text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?'; /* a file's name may hold anything */
        }
    }
    fprintf(stderr, "nibble %s: %s\n", command, line.text);
    return COMMAND_FAILED;
}

int command_misused(const char *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "nibble %s: ", command);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (see 'nibble %s --help')\n", command);
    va_end(args);
    return COMMAND_USAGE;
}
