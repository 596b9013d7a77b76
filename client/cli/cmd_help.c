/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/option_table.h"

static void print_commands(void)
{
    printf("Usage: nibble COMMAND [OPTION]...\n\n"
           "Packs embedding tables into 4-bit files and asks servers for their "
           "rows.\n\n");
    const struct command *command;
    for (size_t i = 0; (command = command_at(i)) != NULL; i++) {
        printf("  %-10s %s\n", command->name, command->help);
    }
    printf("\n'nibble COMMAND --help' explains a command, with an example.\n"
           "Exit status: 0 done, 1 the work failed, 2 wrong usage.\n");
}

/* Each command but this one tells its own part. */
static int print_man(void)
{
    char man[] = OPTION_MAN;
    printf(".TH NIBBLE 1 \"\" \"nibble %s\"\n"
           ".SH NAME\nnibble \\- make, publish and ask embedding tables\n"
           ".SH SYNOPSIS\n\\fBnibble\\fR \\fICOMMAND\\fR "
           "[\\fIOPTION\\fR]...\n"
           ".SH DESCRIPTION\n"
           "Packs embedding tables into 4\\-bit files and asks servers for "
           "their rows.\n.SH COMMANDS\n",
           nb_version());
    int status = COMMAND_DONE;
    const struct command *command;
    for (size_t i = 0;
         status == COMMAND_DONE && (command = command_at(i)) != NULL; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%s", command->name);
        char *ask[] = {name, man, NULL};
        status = command->run != cmd_help ? command->run(2, ask) : status;
    }
    printf(".SH EXIT STATUS\n0 done, 1 the work failed, 2 wrong usage.\n"
           ".SH SEE ALSO\n\\fBnibbled\\fR(8)\n");
    return status;
}

static bool asks_for_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int cmd_help(int argc, char **argv)
{
    if (argc == 1 && strcmp(argv[0], OPTION_MAN) == 0) {
        return print_man();
    }
    if (argc < 2 || (argc == 2 && asks_for_help(argv[1]))) {
        print_commands();
        return COMMAND_DONE;
    }
    const struct command *command = command_by_name(argv[1]);
    if (command == NULL || argc > 2) {
        fprintf(stderr, "nibble help: %s'%s'%s (see 'nibble help')\n",
                command == NULL ? "there is no command " : "",
                argv[command == NULL ? 1 : 2],
                command == NULL ? "" : " is one operand too many");
        return COMMAND_USAGE;
    }
    if (command->run == cmd_help) {
        print_commands();
        return COMMAND_DONE;
    }
    char help[] = "--help";
    char *ask[] = {argv[1], help, NULL};
    return command->run(2, ask);
}
