/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/repo_files.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "storage/io/dir_list.h"
#include "storage/repo/model_repo.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

#define MODEL "m"

static char repo[4096];

const char *repo_files_create(void)
{
    snprintf(repo, sizeof(repo), "%s", scratch_path("repo"));
    ck_assert_int_eq(mkdir(repo, 0700), 0);
    return repo;
}

const char *repo_files_path(const char *name)
{
    char path[600];
    snprintf(path, sizeof(path), "repo/" MODEL "/%s", name);
    return scratch_path(path);
}

int repo_files_publish(uint64_t version, uint64_t keep, size_t n_rows,
                       uint64_t *published, struct nb_errctx *err)
{
    /* Not in order of the names. */
    const struct publish_table tables[] = {{"b", scratch_path("b.nbt")},
                                           {"a", scratch_path("a.nbt")}};
    const struct publish_options options = {.repo = repo,
                                            .model = MODEL,
                                            .tables = tables,
                                            .n_tables = 2,
                                            .version = version,
                                            .keep = keep};
    struct publish_report report;
    if (n_rows != 0) {
        table_file_write("a.nbt", 8, n_rows);
        table_file_write("b.nbt", 5, n_rows);
    }
    int rv = publish(&options, &report, err);
    if (rv == 0) {
        *published = report.version;
    }
    publish_report_fini(&report);
    return rv;
}

uint64_t repo_files_add(uint64_t keep, size_t n_rows)
{
    struct nb_errctx err = {""};
    uint64_t version = 0;
    int rv = repo_files_publish(0, keep, n_rows, &version, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return version;
}

static void open_dir(struct model_dir *dir)
{
    struct nb_errctx err = {""};
    int rv = model_dir_open(repo, MODEL, dir, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
}

static void check_whole(const struct model_dir *dir, uint64_t version)
{
    struct nb_errctx err = {""};
    struct model_version *opened;
    char *path;
    ck_assert_int_eq(model_dir_version_path(dir, version, &path, NULL), 0);
    int rv = model_version_open(path, TABLE_VERIFY_FULL, &opened, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    model_version_close(opened);
    free(path);
}

const char *repo_files_versions(void)
{
    static char text[1000];
    struct model_dir dir;
    struct version_list list;
    size_t used = 0;
    open_dir(&dir);
    ck_assert_int_eq(model_dir_versions(&dir, &list, NULL), 0);
    text[0] = '\0';
    for (size_t i = 0; i < list.n; i++) {
        check_whole(&dir, list.versions[i]);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRIu64,
                                 i > 0 ? " " : "", list.versions[i]);
        ck_assert_uint_lt(used, sizeof(text));
    }
    version_list_fini(&list);
    model_dir_close(&dir);
    return text;
}

static int count_hidden(void *arg, const char *name, struct nb_errctx *err)
{
    size_t *n = arg;
    (void)err;
    *n += name[0] == '.' ? 1 : 0;
    return 0;
}

size_t repo_files_hidden(void)
{
    struct model_dir dir;
    size_t n = 0;
    open_dir(&dir);
    ck_assert_int_eq(dir_each(dir.fd, dir.path, count_hidden, &n, NULL), 0);
    model_dir_close(&dir);
    return n;
}

const struct serving_search repo_files_full = {.verify = TABLE_VERIFY_FULL};
const struct serving_search repo_files_header = {.verify = TABLE_VERIFY_HEADER};

uint64_t repo_files_serving(size_t *n_rows)
{
    struct nb_errctx err = {""};
    struct serving serving;
    int rv =
        model_repo_open_serving(repo, MODEL, &repo_files_full, &serving, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    const struct manifest *manifest = &serving.opened->manifest;
    ck_assert_uint_eq(manifest->n, 2);
    ck_assert_str_eq(manifest->tables[0].name, "a");
    ck_assert_str_eq(manifest->tables[1].name, "b");
    ck_assert_uint_eq(manifest->tables[0].rows, manifest->tables[1].rows);
    *n_rows = (size_t)table_info(serving.opened->tables[0])->n_rows;
    uint64_t version = serving.version;
    serving_fini(&serving);
    return version;
}
