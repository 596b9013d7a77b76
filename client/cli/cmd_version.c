/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "client/cli/command.h"
#include "client/cli/option_table.h"

int cmd_version(int argc, char **argv)
{
    static const struct option_table table = {
        .command = "version",
        .about = "Prints the version, and the instruction set of the kernels "
                 "in use.",
        .example = "  nibble version",
    };
    int status;
    if (options_parse(&table, argc, argv, NULL, &status)) {
        printf("nibble %s, %s kernels\n", nb_version(), nb_isa());
    }
    return status;
}
