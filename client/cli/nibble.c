/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* nibble, the command-line tool: finds the command and runs it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/option_table.h"

/* "-h", "--help" and "--version" are what people try first. */
static const char *without_dashes(const char *word)
{
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0 ||
        strcmp(word, OPTION_MAN) == 0) {
        return "help";
    }
    return strcmp(word, "--version") == 0 ? "version" : word;
}

/* A command is done when what it printed has left the process. */
static int flush(const char *command, int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return status;
    }
    int rv = -errno; /* 0: what failed was an earlier write */
    struct nb_errctx err;
    nb_fail(&err, rv, "standard output: cannot write%s%s", rv != 0 ? ": " : "",
            rv != 0 ? nb_strerror(rv) : "");
    return command_fail(command, rv, &err);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "nibble: no command given (see 'nibble help')\n");
        return COMMAND_USAGE;
    }
    signal(SIGXFSZ, SIG_IGN); /* a file over the limit is an error: EFBIG */
    struct nb_errctx err = {""};
    if (nb_isa_check(&err) != 0) {
        fprintf(stderr, "nibble: %s\n", err.text);
        return COMMAND_USAGE;
    }
    const struct command *command = command_by_name(without_dashes(argv[1]));
    if (command == NULL) {
        fprintf(stderr,
                "nibble: there is no command '%s' (see 'nibble "
                "help')\n",
                argv[1]);
        return COMMAND_USAGE;
    }
    return flush(command->name, command->run(argc - 1, argv + 1));
}
