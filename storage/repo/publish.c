/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/repo/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quant/checked.h"
#include "storage/io/file_copy.h"
#include "storage/io/file_io.h"
#include "storage/repo/model_version.h"
#include "storage/repo/repo_name.h"
#include "storage/repo/retention.h"

/* Tables are never written to again: a mapping of a file that somebody
 * overwrites would show torn rows, or fault. */
#define FILE_MODE 0444

/* A table on its way into the repository. */
struct item {
    const char *path; /* of its source */
    struct manifest_table entry;
};

struct publishing {
    const struct publish_options *options;
    struct publish_report *report;
    struct model_dir dir;
    struct model_stage stage;
    const char **sources; /* paths, in the manifest's order */
    uint64_t bytes;       /* of all tables */
    uint64_t done;        /* of the tables before this one */
    struct nb_errctx *err;
};

static int no_memory(const struct publishing *publishing)
{
    return nb_fail(publishing->err, NB_ERR_NOMEM, "publish: out of memory");
}

/* ---- what is to be published --------------------------------------------- */

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->entry.name,
                  ((const struct item *)b)->entry.name);
}

static int describe(const struct publish_table *table,
                    const struct table_info *info, struct item *item)
{
    const char *codec = nb_codec_name(info->format.codec);
    item->path = table->path;
    item->entry = (struct manifest_table){
        .name = strdup(table->name),
        .codec = strdup(codec != NULL ? codec : ""),
        .bytes = info->file_bytes,
        .rows = info->n_rows,
        .dim = info->format.dim,
        .checksum = info->checksum,
    };
    if (asprintf(&item->entry.file, "%s.nbt", table->name) < 0) {
        item->entry.file = NULL;
    }
    return item->entry.name != NULL && item->entry.codec != NULL &&
                   item->entry.file != NULL
               ? 0
               : NB_ERR_NOMEM;
}

/* Reads and checks every byte of a source. */
static int inspect(struct publishing *publishing,
                   const struct publish_table *table, struct item *item)
{
    struct table *opened;
    if (!repo_name_is_valid(table->name, REPO_NAME_MAX)) {
        return nb_fail(publishing->err, NB_ERR_INVALID,
                       "table '%.80s': a name is 1 to %d letters, digits, '_', "
                       "'.', '-', and does not begin with '.'",
                       table->name, REPO_NAME_MAX);
    }
    int rv =
        table_open(table->path, TABLE_VERIFY_FULL, &opened, publishing->err);
    if (rv != 0) {
        return rv;
    }
    rv = describe(table, table_info(opened), item);
    table_close(opened);
    if (rv != 0) {
        return no_memory(publishing);
    }
    if (!checked_add(publishing->bytes, item->entry.bytes,
                     &publishing->bytes)) {
        return nb_fail(publishing->err, NB_ERR_TOO_LARGE,
                       "the tables together are over 2^64 bytes");
    }
    return 0;
}

static int check_names(struct publishing *publishing, const struct item *items,
                       size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (strcmp(items[i - 1].entry.name, items[i].entry.name) == 0) {
            return nb_fail(publishing->err, NB_ERR_INVALID,
                           "table '%s' is given twice", items[i].entry.name);
        }
    }
    return 0;
}

/* Hands the items over to the manifest and the list of sources. */
static int make_manifest(struct publishing *publishing, struct item *items,
                         size_t n)
{
    struct manifest *manifest = &publishing->report->manifest;
    qsort(items, n, sizeof(*items), compare_items);
    int rv = check_names(publishing, items, n);
    if (rv != 0) {
        return rv;
    }
    manifest->tables = calloc(n, sizeof(*manifest->tables));
    publishing->sources = calloc(n, sizeof(*publishing->sources));
    if (manifest->tables == NULL || publishing->sources == NULL) {
        return no_memory(publishing);
    }
    for (size_t i = 0; i < n; i++) {
        manifest->tables[i] = items[i].entry;
        items[i].entry = (struct manifest_table){0};
        publishing->sources[i] = items[i].path;
    }
    manifest->n = n;
    return 0;
}

static int inspect_all(struct publishing *publishing)
{
    size_t n = publishing->options->n_tables;
    if (n == 0 || n > MANIFEST_TABLES_MAX) {
        return nb_fail(publishing->err, NB_ERR_INVALID,
                       "%zu tables, a version has 1 to %u", n,
                       MANIFEST_TABLES_MAX);
    }
    struct item *items = calloc(n, sizeof(*items));
    if (items == NULL) {
        return no_memory(publishing);
    }
    int rv = 0;
    for (size_t i = 0; i < n && rv == 0; i++) {
        rv = inspect(publishing, &publishing->options->tables[i], &items[i]);
    }
    if (rv == 0) {
        rv = make_manifest(publishing, items, n);
    }
    for (size_t i = 0; i < n; i++) {
        free(items[i].entry.name);
        free(items[i].entry.file);
        free(items[i].entry.codec);
    }
    free(items);
    return rv;
}

/* ---- copying ------------------------------------------------------------- */

static void on_copied(void *arg, uint64_t bytes)
{
    const struct publishing *publishing = arg;
    const struct publish_options *options = publishing->options;
    if (options->progress != NULL) {
        options->progress(options->progress_arg, publishing->done + bytes,
                          publishing->bytes);
    }
}

static int fail_staged(const struct publishing *publishing, const char *name,
                       int rv, const char *what)
{
    return nb_fail(publishing->err, rv, "%s/%s/%s: %s: %s",
                   publishing->dir.path, publishing->stage.name, name, what,
                   nb_strerror(rv));
}

static int create_staged(const struct publishing *publishing, const char *name,
                         int *fd)
{
    *fd = openat(publishing->stage.fd, name,
                 O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    return *fd >= 0 ? 0
                    : fail_staged(publishing, name, -errno, "cannot create");
}

static int finish_staged(const struct publishing *publishing, const char *name,
                         int fd, int rv)
{
    if (rv != 0) {
        fail_staged(publishing, name, rv, "cannot write");
    } else if (fsync(fd) != 0) {
        rv = fail_staged(publishing, name, -errno, "fsync");
    }
    if (close(fd) != 0 && rv == 0 && errno != EINTR) {
        rv = fail_staged(publishing, name, -errno, "close");
    }
    return rv;
}

/* The copy as it will be read: every byte of it, against the manifest. A
 * source that changed meanwhile shows here. */
static int check_copy(const struct publishing *publishing, size_t i)
{
    const struct manifest_table *entry =
        &publishing->report->manifest.tables[i];
    struct table *copy;
    char *path;
    if (asprintf(&path, "%s/%s/%s", publishing->dir.path,
                 publishing->stage.name, entry->file) < 0) {
        return no_memory(publishing);
    }
    int rv = table_open(path, TABLE_VERIFY_FULL, &copy, publishing->err);
    if (rv == 0) {
        rv = model_version_check_table(entry, table_info(copy), path,
                                       publishing->err);
        table_close(copy);
    }
    if (rv != 0) {
        nb_fail(publishing->err, rv,
                "%s: changed while it was copied, or was copied wrongly: %s",
                publishing->sources[i], nb_strerror(rv));
    }
    free(path);
    return rv;
}

static int copy_table(struct publishing *publishing, size_t i)
{
    const struct manifest_table *entry =
        &publishing->report->manifest.tables[i];
    int from;
    int to;
    uint64_t bytes;
    int rv = file_open(publishing->sources[i], &from, &bytes, publishing->err);
    if (rv != 0) {
        return rv;
    }
    rv = create_staged(publishing, entry->file, &to);
    if (rv == 0) {
        rv = file_copy(from, to, entry->bytes, on_copied, publishing);
        rv = finish_staged(publishing, entry->file, to, rv);
    }
    close(from);
    publishing->done += entry->bytes;
    return rv == 0 ? check_copy(publishing, i) : rv;
}

static int write_manifest(struct publishing *publishing)
{
    char *text;
    int fd;
    int rv =
        manifest_format(&publishing->report->manifest, &text, publishing->err);
    if (rv != 0) {
        return rv;
    }
    rv = create_staged(publishing, MANIFEST_FILE, &fd);
    if (rv == 0) {
        rv = file_write_at(fd, text, strlen(text), 0);
        if (rv == 0) {
            rv = file_write_at(fd, "\n", 1, strlen(text));
        }
        rv = finish_staged(publishing, MANIFEST_FILE, fd, rv);
    }
    free(text);
    return rv;
}

/* ---- the number ---------------------------------------------------------- */

/* The least number from *version on whose name nothing has: a file, or a link,
 * may stand where it would. */
static int step_over(const struct publishing *publishing, uint64_t *version)
{
    bool taken;
    int rv;
    do {
        rv = model_dir_has_name(&publishing->dir, *version, &taken,
                                publishing->err);
    } while (rv == 0 && taken && checked_add(*version, 1, version));
    return rv == 0 && taken ? NB_ERR_TOO_LARGE : rv;
}

/* Versions only grow where it is ours to choose. */
static int choose_next(const struct publishing *publishing,
                       const struct version_list *list, uint64_t *version)
{
    uint64_t highest = list->n > 0 ? list->versions[list->n - 1] : 0;
    int rv = checked_add(highest, 1, version) ? step_over(publishing, version)
                                              : NB_ERR_TOO_LARGE;
    return rv != NB_ERR_TOO_LARGE ? rv
                                  : nb_fail(publishing->err, rv,
                                            "%s: no version is above %" PRIu64,
                                            publishing->dir.path, highest);
}

static int refuse_taken(const struct publishing *publishing,
                        const struct version_list *list, uint64_t wanted)
{
    uint64_t next;
    if (choose_next(publishing, list, &next) != 0) {
        return nb_fail(publishing->err, -EEXIST,
                       "%.160s: version %" PRIu64 " is there already",
                       publishing->dir.path, wanted);
    }
    return nb_fail(publishing->err, -EEXIST,
                   "%.130s: version %" PRIu64
                   " is there already, the next free is %" PRIu64,
                   publishing->dir.path, wanted, next);
}

static int check_wanted(const struct publishing *publishing,
                        const struct version_list *list, uint64_t wanted)
{
    bool taken;
    if (version_list_has(list, wanted)) {
        return refuse_taken(publishing, list, wanted);
    }
    int rv =
        model_dir_has_name(&publishing->dir, wanted, &taken, publishing->err);
    return rv != 0 || !taken
               ? rv
               : nb_fail(publishing->err, -EEXIST,
                         "%s/%" PRIu64 ": is there, and is no version",
                         publishing->dir.path, wanted);
}

/* The version to become. */
static int list_and_choose(const struct publishing *publishing,
                           uint64_t *version)
{
    uint64_t chosen = publishing->options->version;
    struct version_list list;
    int rv = model_dir_versions(&publishing->dir, &list, publishing->err);
    if (rv != 0) {
        return rv;
    }
    rv = chosen != 0 ? check_wanted(publishing, &list, chosen)
                     : choose_next(publishing, &list, &chosen);
    version_list_fini(&list);
    if (rv == 0) {
        *version = chosen;
    }
    return rv;
}

static int commit(struct publishing *publishing)
{
    uint64_t version = 0;
    int rv = list_and_choose(publishing, &version);
    if (rv != 0) {
        return rv;
    }
    rv = model_stage_commit(&publishing->dir, &publishing->stage, version,
                            publishing->err);
    if (publishing->stage.name[0] == '\0') {
        publishing->report->version = version;
    }
    return rv;
}

static int commit_locked(struct publishing *publishing)
{
    const struct publish_options *options = publishing->options;
    struct publish_report *report = publishing->report;
    int rv = model_dir_lock(&publishing->dir, publishing->err);
    if (rv != 0) {
        return rv;
    }
    rv = commit(publishing);
    if (rv == 0 && options->keep != 0) {
        rv = retention_apply(&publishing->dir, options->keep, report->version,
                             &report->deleted, publishing->err);
    }
    model_dir_unlock(&publishing->dir);
    return rv;
}

/* ---- the whole ----------------------------------------------------------- */

/* Takes a directory to build in, and fails now rather than after the copy if
 * the version is there. */
static int stage_locked(struct publishing *publishing)
{
    uint64_t version;
    int rv = model_dir_lock(&publishing->dir, publishing->err);
    if (rv != 0) {
        return rv;
    }
    rv = list_and_choose(publishing, &version);
    if (rv == 0) {
        rv = model_dir_hide_leftovers(&publishing->dir, publishing->err);
    }
    if (rv == 0) {
        rv = model_stage_open(&publishing->dir, &publishing->stage,
                              publishing->err);
    }
    model_dir_unlock(&publishing->dir);
    return rv;
}

static int fill_and_commit(struct publishing *publishing)
{
    /* Makes room if it can; what it cannot delete is told at the end. */
    (void)model_dir_sweep(&publishing->dir, NULL);
    int rv = 0;
    for (size_t i = 0; i < publishing->report->manifest.n && rv == 0; i++) {
        rv = copy_table(publishing, i);
    }
    if (rv == 0) {
        rv = write_manifest(publishing);
    }
    if (rv == 0) {
        rv = commit_locked(publishing);
    }
    return rv;
}

static int publish_now(struct publishing *publishing)
{
    const struct publish_options *options = publishing->options;
    int rv = model_dir_create(options->repo, options->model, &publishing->dir,
                              publishing->err);
    if (rv != 0) {
        return rv;
    }
    rv = stage_locked(publishing);
    if (rv == 0) {
        rv = fill_and_commit(publishing);
        model_stage_close(&publishing->dir, &publishing->stage);
    }
    if (rv == 0) {
        rv = model_dir_sweep(&publishing->dir, publishing->err);
    }
    model_dir_close(&publishing->dir);
    return rv;
}

/* As publishing itself will find out. */
static int check_writable(const struct publishing *publishing, const char *path)
{
    if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0) {
        return 0;
    }
    int rv = -errno;
    return rv == -ENOENT
               ? nb_fail(publishing->err, rv,
                         "%s: no such directory: a repository begins as an "
                         "empty one (mkdir)",
                         path)
               : nb_fail(publishing->err, rv, "%s: cannot write to it: %s",
                         path, nb_strerror(rv));
}

/* The first version of a model has no directory yet to look into. */
static int plan_first(struct publishing *publishing)
{
    const struct publish_options *options = publishing->options;
    int rv = check_writable(publishing, options->repo);
    if (rv == 0) {
        publishing->report->version =
            options->version != 0 ? options->version : 1;
    }
    return rv;
}

static int plan_locked(struct publishing *publishing)
{
    const struct publish_options *options = publishing->options;
    struct publish_report *report = publishing->report;
    int rv = model_dir_lock(&publishing->dir, publishing->err);
    if (rv != 0) {
        return rv;
    }
    rv = list_and_choose(publishing, &report->version);
    if (rv == 0 && options->keep != 0) {
        rv = retention_plan(&publishing->dir, options->keep, report->version,
                            &report->deleted, publishing->err);
    }
    model_dir_unlock(&publishing->dir);
    return rv;
}

static int plan(struct publishing *publishing)
{
    const struct publish_options *options = publishing->options;
    int rv = model_dir_open(options->repo, options->model, &publishing->dir,
                            publishing->err);
    if (rv == -ENOENT) {
        return plan_first(publishing);
    }
    if (rv != 0) {
        return rv;
    }
    rv = check_writable(publishing, publishing->dir.path);
    if (rv == 0) {
        rv = plan_locked(publishing);
    }
    model_dir_close(&publishing->dir);
    return rv;
}

int publish(const struct publish_options *options,
            struct publish_report *report, struct nb_errctx *err)
{
    struct publishing publishing = {.options = options,
                                    .report = report,
                                    .dir = {.fd = -1},
                                    .stage = {.fd = -1},
                                    .err = err};
    *report = (struct publish_report){0};
    int rv = inspect_all(&publishing);
    if (rv == 0) {
        rv = options->dry_run ? plan(&publishing) : publish_now(&publishing);
    }
    free((void *)publishing.sources);
    return rv;
}

void publish_report_fini(struct publish_report *report)
{
    manifest_fini(&report->manifest);
    version_list_fini(&report->deleted);
    *report = (struct publish_report){0};
}
