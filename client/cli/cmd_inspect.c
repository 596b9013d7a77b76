/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/json_line.h"
#include "client/cli/option_table.h"
#include "client/cli/table_report.h"
#include "client/cli/version_report.h"
#include "storage/table/table_reader.h"

struct inspect_args {
    const char *file;
    bool json;
};

static const struct option_row rows[] = {
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = offsetof(struct inspect_args, json),
     .help = "print one JSON object and nothing else"},
};

static const struct option_table options = {
    .command = "inspect",
    .operand = "FILE.nbt|VERSION-DIR",
    .operand_offset = offsetof(struct inspect_args, file),
    .about =
        "Shows what a table file holds: its shape and codec, its size beside "
        "that of fp32, the error that quantizing made, and where it comes "
        "from; of a version's directory, the same of each of its tables. Reads "
        "a few pages only; 'nibble verify' checks the rows too.",
    .example = "  nibble inspect glove.nbt\n"
               "  nibble inspect models/ranking/42",
    .groups = {OPTION_GROUP(rows, 0)},
};

static struct table_report report_of(const struct table_info *info)
{
    return (struct table_report){.format = info->format,
                                 .n_rows = info->n_rows,
                                 .file_bytes = info->file_bytes,
                                 .columns = info->columns,
                                 .params_bytes = info->params_bytes,
                                 .keys_bytes = info->keys_bytes,
                                 .n_protected = info->n_protected,
                                 .stats = info->stats};
}

static const char *ids_text(const struct table_info *info)
{
    return info->keys_bytes == 0 ? "dense (an id is a row number)"
           : strcmp(info->keys, "words") == 0
               ? "keyed (an id is the XXH3-64 of a word)"
               : "keyed (an id is a number of 64 bits)";
}

struct unseen_text {
    char text[80];
};

static struct unseen_text unseen_text(const struct table_info *info)
{
    struct unseen_text shown = {"zeros"};
    if (info->unseen.action == NB_UNSEEN_DEFAULT) {
        snprintf(shown.text, sizeof(shown.text), "row %" PRIu64 "%s",
                 info->unseen.default_row,
                 info->keys_bytes > 0
                     ? " of the file, whose order is not the input's"
                     : "");
    } else if (info->unseen.action == NB_UNSEEN_ERROR) {
        snprintf(shown.text, sizeof(shown.text), "an error");
    }
    return shown;
}

static const char *const unseen_names[] = {[NB_UNSEEN_ZERO] = "zero",
                                           [NB_UNSEEN_DEFAULT] = "row",
                                           [NB_UNSEEN_ERROR] = "error"};

static size_t packed_row_bytes(const struct table_info *info)
{
    size_t bytes;
    return nb_row_bytes(&info->format, &bytes) == 0 ? bytes : 0;
}

/* ---- text ------------------------------------------------------------- */

/* A member of the metadata, whatever the version that wrote it put there. */
static void print_member(const char *key, json_t *value)
{
    if (json_is_string(value) && json_string_length(value) == 0) {
        return; /* the search of a codec that has none */
    }
    char *text = json_is_string(value)
                     ? strdup(json_string_value(value))
                     : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY |
                                             JSON_REAL_PRECISION(6));
    if (text != NULL) {
        printf(" %s=%s", text_foreign(key).text, text_foreign(text).text);
    }
    free(text);
}

static void print_origin(const char *metadata)
{
    json_t *object = json_loads(metadata, JSON_REJECT_DUPLICATES, NULL);
    json_t *source = json_object_get(object, "source");
    const char *key;
    json_t *value;
    printf("  origin  ");
    json_object_foreach(source, key, value)
    {
        print_member(key, value);
    }
    json_object_foreach(object, key, value)
    {
        if (!json_is_object(value)) {
            print_member(key, value);
        }
    }
    printf("\n");
    json_decref(object);
}

static void print_text(const char *file, const struct table_info *info)
{
    const struct table_report report = report_of(info);
    printf("%s\n", file);
    printf("  rows     %s x %u values, %s\n",
           text_counted(info->n_rows, "row").text, info->format.dim,
           ids_text(info));
    printf("  unseen   an id that is not in the table gives %s\n",
           unseen_text(info).text);
    printf("  codec    ");
    table_codec_print(&info->format, info->search);
    printf("  layout   %zu bytes a row, stride %" PRIu64 " bytes, first row at "
           "byte %" PRIu64 ", xxh3-64 %016" PRIx64 "\n",
           packed_row_bytes(info), info->stride, info->rows_offset,
           info->rows_checksum);
    table_report_print(&report);
    print_origin(info->metadata);
}

/* ---- JSON ------------------------------------------------------------- */

static int print_json(const char *file, const struct table_info *info)
{
    const struct table_report report = report_of(info);
    json_t *object = json_object();
    json_put(&object, "file", json_text(file));
    json_put(&object, "ids",
             json_string(info->keys_bytes == 0 ? "dense" : info->keys));
    json_put(&object, "unseen", json_string(unseen_names[info->unseen.action]));
    if (info->unseen.action == NB_UNSEEN_DEFAULT) {
        json_put(&object, "default_row", json_count(info->unseen.default_row));
    }
    table_report_json(&report, &object);
    json_put(&object, "search", json_text(info->search));
    json_put(&object, "row_bytes", json_count(packed_row_bytes(info)));
    json_put(&object, "stride_bytes", json_count(info->stride));
    json_put(&object, "rows_offset_bytes", json_count(info->rows_offset));
    json_put(&object, "rows_xxh3_64",
             json_sprintf("%016" PRIx64, info->rows_checksum));
    json_put(&object, "metadata", json_loads(info->metadata, 0, NULL));
    return json_line_print("inspect", object);
}

int cmd_inspect(int argc, char **argv)
{
    struct inspect_args args = {0};
    int status;
    if (!options_parse(&options, argc, argv, &args, &status)) {
        return status;
    }
    if (version_report_is_version(args.file)) {
        return version_report_inspect(args.file, args.json);
    }
    struct nb_errctx err = {""};
    struct table *table;
    int rv = table_open(args.file, TABLE_VERIFY_HEADER, &table, &err);
    if (rv != 0) {
        return command_fail("inspect", rv, &err);
    }
    if (args.json) {
        status = print_json(args.file, table_info(table));
    } else {
        print_text(args.file, table_info(table));
    }
    table_close(table);
    return status;
}
