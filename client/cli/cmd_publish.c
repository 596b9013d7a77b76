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
#include "client/cli/progress_line.h"
#include "client/cli/version_report.h"
#include "storage/repo/publish.h"
#include "storage/repo/repo_name.h"

struct publish_args {
    const char *repo;
    const char *model;
    uint64_t version;
    uint64_t keep;
    bool dry_run;
    bool json;
    struct operand_list tables;
};

static const struct option_row rows[] = {
    {.name = "repo",
     .type = OPTION_TEXT,
     .offset = offsetof(struct publish_args, repo),
     .value = "DIR",
     .required = true,
     .help = "the model repository, a directory that is there"},
    {.name = "model",
     .type = OPTION_TEXT,
     .offset = offsetof(struct publish_args, model),
     .value = "NAME",
     .required = true,
     .help = "the model, new or not: letters, digits, '_', '.', '-'"},
    {.name = "version",
     .type = OPTION_NUMBER,
     .offset = offsetof(struct publish_args, version),
     .value = "N",
     .min = 1,
     .max = UINT64_MAX,
     .help = "the version's number, which must be free (default: one above "
             "the highest)"},
    {.name = "keep",
     .type = OPTION_NUMBER,
     .offset = offsetof(struct publish_args, keep),
     .value = "N",
     .min = 1,
     .max = UINT64_MAX,
     .help = "then delete the lowest versions beyond N, but never the pinned "
             "one nor this one (default: keep all)"},
    {.name = "dry-run",
     .type = OPTION_FLAG,
     .offset = offsetof(struct publish_args, dry_run),
     .help = "check everything, say what would be done, change nothing"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = offsetof(struct publish_args, json),
     .help = "print one JSON object and nothing else"},
};

static const struct option_table table = {
    .command = "publish",
    .operand = "TABLE=FILE.nbt",
    .operand_offset = offsetof(struct publish_args, tables),
    .operand_many = true,
    .about =
        "Puts table files into a repository as a new version of a model. Every "
        "byte of every file is checked, copied, checked again and synced; then "
        "the version appears whole, all tables at once, or not at all, "
        "whatever happens meanwhile. Several may publish at a time. What a "
        "killed publisher leaves behind is never seen, and goes with the next.",
    .example = "  nibble publish --repo models --model ranking --keep 3 \\\n"
               "      user=user.nbt item=item.nbt",
    .groups = {OPTION_GROUP(rows, 0)},
};

/* "user=user.nbt" to its parts, in place. 0, or an exit status. */
static int split_tables(const struct operand_list *list,
                        struct publish_table *tables)
{
    for (size_t i = 0; i < list->n; i++) {
        char *equals = strchr(list->items[i], '=');
        if (equals == NULL || equals == list->items[i] || equals[1] == '\0') {
            return command_misused("publish", "'%s' is not TABLE=FILE.nbt",
                                   list->items[i]);
        }
        *equals = '\0';
        tables[i] = (struct publish_table){list->items[i], equals + 1};
        for (size_t j = 0; j < i; j++) {
            if (strcmp(tables[j].name, tables[i].name) == 0) {
                return command_misused("publish", "table '%s' is given twice",
                                       tables[i].name);
            }
        }
    }
    return 0;
}

static void show_progress(void *arg, uint64_t bytes, uint64_t total)
{
    progress_line_show_bytes(arg, bytes, total);
}

/* ---- output ----------------------------------------------------------- */

static void print_text(const struct publish_args *args,
                       const struct publish_report *report)
{
    const struct manifest *manifest = &report->manifest;
    printf("%s %s/%s/%" PRIu64 ": %s, %s, %s\n",
           args->dry_run ? "would publish" : "published", args->repo,
           args->model, report->version,
           text_counted(manifest->n, "table").text,
           text_counted(manifest_total_rows(manifest), "row").text,
           text_bytes(manifest_total_bytes(manifest)).text);
    manifest_print(manifest);
    for (size_t i = 0; i < report->deleted.n; i++) {
        printf("%s version %" PRIu64 "\n",
               args->dry_run ? "would delete" : "deleted",
               report->deleted.versions[i]);
    }
}

static int print_json(const struct publish_args *args,
                      const struct publish_report *report)
{
    json_t *object = json_object();
    json_t *deleted = json_array();
    for (size_t i = 0; i < report->deleted.n; i++) {
        json_append(&deleted, json_count(report->deleted.versions[i]));
    }
    json_put(&object, "repo", json_text(args->repo));
    json_put(&object, "model", json_text(args->model));
    json_put(&object, "version", json_count(report->version));
    json_put(&object, "dry_run", json_boolean(args->dry_run));
    json_put(&object, "rows",
             json_count(manifest_total_rows(&report->manifest)));
    json_put(&object, "file_bytes",
             json_count(manifest_total_bytes(&report->manifest)));
    json_put(&object, "tables", manifest_json(&report->manifest));
    json_put(&object, "deleted", deleted);
    return json_line_print("publish", object);
}

/* A version that is there is told of, even if what follows failed. */
static int conclude(const struct publish_args *args,
                    const struct publish_report *report, int rv,
                    const struct nb_errctx *err)
{
    int status = COMMAND_DONE;
    if (report->version != 0) {
        if (args->json) {
            status = print_json(args, report);
        } else {
            print_text(args, report);
        }
    }
    if (rv == 0) {
        return status;
    }
    struct nb_errctx line = *err;
    if (report->version != 0) {
        nb_fail(&line, rv, "version %" PRIu64 " is published, but: %s",
                report->version, err->text);
    }
    return command_fail("publish", rv, &line);
}

int cmd_publish(int argc, char **argv)
{
    struct publish_args args = {0};
    int status;
    if (!options_parse(&table, argc, argv, &args, &status)) {
        return status;
    }
    if (!repo_name_is_valid(args.model, REPO_NAME_MAX)) {
        return command_misused("publish",
                               "--model: '%s' is not 1 to %d letters, digits, "
                               "'_', '.', '-', the first not '.'",
                               args.model, REPO_NAME_MAX);
    }
    struct nb_errctx err = {""};
    struct publish_table *tables = calloc(args.tables.n, sizeof(*tables));
    if (tables == NULL) {
        return command_fail("publish", NB_ERR_NOMEM, &err);
    }
    status = split_tables(&args.tables, tables);
    if (status == 0) {
        struct progress_line line;
        struct publish_report report;
        const struct publish_options options = {
            .repo = args.repo,
            .model = args.model,
            .tables = tables,
            .n_tables = args.tables.n,
            .version = args.version,
            .keep = args.keep,
            .dry_run = args.dry_run,
            .progress = show_progress,
            .progress_arg = &line,
        };
        progress_line_begin(&line, "publishing");
        int rv = publish(&options, &report, &err);
        progress_line_end(&line);
        status = conclude(&args, &report, rv, &err);
        publish_report_fini(&report);
    }
    free(tables);
    return status;
}
