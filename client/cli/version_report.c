/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/version_report.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/json_line.h"
#include "client/cli/table_report.h"
#include "storage/repo/model_repo.h"
#include "storage/repo/model_version.h"
#include "storage/repo/repo_name.h"

bool version_report_is_version(const char *path)
{
    struct stat path_stat;
    return stat(path, &path_stat) == 0 && S_ISDIR(path_stat.st_mode);
}

/* ---- another directory ------------------------------------------------ */

/* The highest version in it, were it a model's directory; 0: none. */
static uint64_t highest_version(const char *path)
{
    struct model_names names;
    struct nb_errctx err;
    uint64_t highest = 0;
    if (model_repo_models(path, &names, &err) != 0) {
        return 0;
    }
    for (size_t i = 0; i < names.n; i++) {
        uint64_t version;
        if (repo_version_parse(names.names[i], &version) && version > highest) {
            highest = version;
        }
    }
    model_names_fini(&names);
    return highest;
}

/* Of a directory without a manifest: a model's or a repository's, which has
 * versions. Else *err stays. */
static void say_what_to_give(const char *path, struct nb_errctx *err)
{
    struct model_names names;
    struct nb_errctx none;
    uint64_t version = highest_version(path);
    if (version != 0) {
        nb_fail(err, 0, "%s: is all of a model, give a version: %s/%" PRIu64,
                path, path, version);
        return;
    }
    if (model_repo_models(path, &names, &none) != 0) {
        return;
    }
    for (size_t i = 0; version == 0 && i < names.n; i++) {
        char model[PATH_MAX];
        snprintf(model, sizeof(model), "%s/%s", path, names.names[i]);
        version = highest_version(model);
        if (version != 0) {
            nb_fail(err, 0,
                    "%s: is a repository, give a version of a model: "
                    "%s/%" PRIu64,
                    path, model, version);
        }
    }
    model_names_fini(&names);
}

/* ---- a manifest ------------------------------------------------------- */

/* The sums are of files that are there, so below 2^64; if a manifest lies, it
 * is refused before it is printed. */
uint64_t manifest_total_bytes(const struct manifest *manifest)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < manifest->n; i++) {
        sum += manifest->tables[i].bytes;
    }
    return sum;
}

uint64_t manifest_total_rows(const struct manifest *manifest)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < manifest->n; i++) {
        sum += manifest->tables[i].rows;
    }
    return sum;
}

void manifest_print(const struct manifest *manifest)
{
    printf("  %-16s %14s x %-5s %-9s %20s  %s\n", "table", "rows", "dim",
           "codec", "file bytes", "checksum");
    for (size_t i = 0; i < manifest->n; i++) {
        const struct manifest_table *table = &manifest->tables[i];
        printf("  %-16s %14s x %-5u %-9s %20s  %016" PRIx64 "\n", table->name,
               text_count(table->rows).text, table->dim, table->codec,
               text_count(table->bytes).text, table->checksum);
    }
}

json_t *manifest_json(const struct manifest *manifest)
{
    json_t *list = json_array();
    for (size_t i = 0; i < manifest->n; i++) {
        const struct manifest_table *table = &manifest->tables[i];
        json_t *object = json_object();
        json_put(&object, "name", json_string(table->name));
        json_put(&object, "file", json_string(table->file));
        json_put(&object, "rows", json_count(table->rows));
        json_put(&object, "dim", json_count(table->dim));
        json_put(&object, "codec", json_string(table->codec));
        json_put(&object, "file_bytes", json_count(table->bytes));
        json_put(&object, "checksum",
                 json_sprintf("%016" PRIx64, table->checksum));
        json_append(&list, object);
    }
    return list;
}

/* ---- inspect ---------------------------------------------------------- */

static struct table_report report_of(const struct table *table)
{
    const struct table_info *info = table_info(table);
    return (struct table_report){.format = info->format,
                                 .n_rows = info->n_rows,
                                 .file_bytes = info->file_bytes,
                                 .stats = info->stats};
}

static void print_text(const char *path, const struct model_version *version)
{
    const struct manifest *manifest = &version->manifest;
    printf("%s\n  %s, %s, %s\n", path, text_counted(manifest->n, "table").text,
           text_counted(manifest_total_rows(manifest), "row").text,
           text_bytes(manifest_total_bytes(manifest)).text);
    manifest_print(manifest);
    for (size_t i = 0; i < manifest->n; i++) {
        const struct table_report report = report_of(version->tables[i]);
        printf("%s\n", manifest->tables[i].name);
        table_report_print(&report);
    }
}

static int print_json(const char *path, const struct model_version *version)
{
    const struct manifest *manifest = &version->manifest;
    json_t *list = json_array();
    for (size_t i = 0; i < manifest->n; i++) {
        const struct table_report report = report_of(version->tables[i]);
        json_t *table = json_object();
        json_put(&table, "name", json_string(manifest->tables[i].name));
        json_put(&table, "file", json_string(manifest->tables[i].file));
        json_put(&table, "checksum",
                 json_sprintf("%016" PRIx64, manifest->tables[i].checksum));
        table_report_json(&report, &table);
        json_append(&list, table);
    }
    json_t *object = json_object();
    json_put(&object, "directory", json_text(path));
    json_put(&object, "rows", json_count(manifest_total_rows(manifest)));
    json_put(&object, "file_bytes", json_count(manifest_total_bytes(manifest)));
    json_put(&object, "tables", list);
    return json_line_print("inspect", object);
}

int version_report_inspect(const char *path, bool json)
{
    struct nb_errctx err = {""};
    struct model_version *version;
    int rv = model_version_open(path, TABLE_VERIFY_HEADER, &version, &err);
    if (rv == -ENOENT) {
        say_what_to_give(path, &err);
    }
    if (rv != 0) {
        return command_fail("inspect", rv, &err);
    }
    int status = COMMAND_DONE;
    if (json) {
        status = print_json(path, version);
    } else {
        print_text(path, version);
    }
    model_version_close(version);
    return status;
}

/* ---- verify ----------------------------------------------------------- */

int version_report_verify(const char *path)
{
    struct nb_errctx err = {""};
    struct model_version *version;
    int rv = model_version_open(path, TABLE_VERIFY_FULL, &version, &err);
    if (rv == -ENOENT) {
        say_what_to_give(path, &err);
    }
    if (rv != 0) {
        return command_fail("verify", rv, &err);
    }
    const struct manifest *manifest = &version->manifest;
    printf("%s: whole, %s, %s, %s\n", path,
           text_counted(manifest->n, "table").text,
           text_counted(manifest_total_rows(manifest), "row").text,
           text_bytes(manifest_total_bytes(manifest)).text);
    model_version_close(version);
    return COMMAND_DONE;
}
