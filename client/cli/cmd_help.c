/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/command.h"

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

static bool asks_for_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int cmd_help(int argc, char **argv)
{
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
