/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/option_table.h"
#include "storage/table_reader.h"

struct verify_args {
    const char *file;
};

static const struct option_table table = {
    .command = "verify",
    .operand = "FILE.nbt",
    .operand_offset = offsetof(struct verify_args, file),
    .about = "Reads the whole file and checks every checksum and every field. "
             "Exit status 0 means the file is whole; 1, with the section and "
             "the offset, that it is not.",
    .example = "  nibble verify glove.nbt",
};

int cmd_verify(int argc, char **argv)
{
    struct verify_args args = {0};
    int status;
    if (!options_parse(&table, argc, argv, &args, &status)) {
        return status;
    }
    struct nb_errctx err = {""};
    struct table *opened;
    int rv = table_open(args.file, TABLE_VERIFY_FULL, &opened, &err);
    if (rv != 0) {
        return command_fail("verify", rv, &err);
    }
    const struct table_info *info = table_info(opened);
    printf("%s: whole, %s, %s\n", args.file,
           text_counted(info->n_rows, "row").text,
           text_bytes(info->file_bytes).text);
    table_close(opened);
    return COMMAND_DONE;
}
