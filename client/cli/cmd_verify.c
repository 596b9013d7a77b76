/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/option_table.h"
#include "client/cli/version_report.h"
#include "storage/table/table_reader.h"

struct verify_args {
    const char *file;
};

static const struct option_table table = {
    .command = "verify",
    .operand = "FILE.nbt|VERSION-DIR",
    .operand_offset = offsetof(struct verify_args, file),
    .about =
        "Reads the whole file and checks every checksum and every field; of a "
        "version's directory, the manifest and every table against it. Exit "
        "status 0 means that all is whole; 1, with file, section and offset, "
        "that it is not.",
    .example = "  nibble verify glove.nbt\n"
               "  nibble verify models/ranking/42",
};

int cmd_verify(int argc, char **argv)
{
    struct verify_args args = {0};
    int status;
    if (!options_parse(&table, argc, argv, &args, &status)) {
        return status;
    }
    if (version_report_is_version(args.file)) {
        return version_report_verify(args.file);
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
