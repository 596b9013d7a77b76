/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/option_table.h"
#include "storage/export/table_export.h"
#include "storage/table/table_reader.h"

struct export_args {
    const char *file;
    const char *format;
    const char *output;
};

static const struct option_row rows[] = {
    {.name = "format",
     .type = OPTION_NAME,
     .offset = offsetof(struct export_args, format),
     .value = "FORMAT",
     .required = true,
     .choices = table_export_format_at,
     .help = "npy: the decoded rows, fp32; fbgemm: the stored rows as FBGEMM's "
             "CPU operators read them, a NumPy file of bytes; glove: text, "
             "each row its number, or its key, and its decoded values; keys: "
             "the keys of a keyed table, a NumPy vector. Rows of a keyed table "
             "come in the order of its index, the same in all formats"},
    {.name = "output",
     .type = OPTION_TEXT,
     .offset = offsetof(struct export_args, output),
     .value = "FILE",
     .required = true,
     .help = "appears whole or not at all"},
};

static const struct option_table table = {
    .command = "export",
    .operand = "FILE.nbt",
    .operand_offset = offsetof(struct export_args, file),
    .about = "Writes the rows of a table file in another format.",
    .example = "  nibble export glove.nbt --format npy --output glove.npy",
    .groups = {OPTION_GROUP(rows, 0)},
};

int cmd_export(int argc, char **argv)
{
    struct export_args args = {0};
    int status;
    if (!options_parse(&table, argc, argv, &args, &status)) {
        return status;
    }
    struct nb_errctx err = {""};
    struct table *opened = NULL;
    int rv = table_open(args.file, TABLE_VERIFY_FULL, &opened, &err);
    if (rv == 0) {
        rv = table_export(opened, args.format, args.output, &err);
    }
    if (rv != 0) {
        status = command_fail("export", rv, &err);
    } else {
        printf("wrote %s: %s x %u values, %s\n", args.output,
               text_counted(table_info(opened)->n_rows, "row").text,
               table_info(opened)->format.dim, args.format);
    }
    table_close(opened);
    return status;
}
