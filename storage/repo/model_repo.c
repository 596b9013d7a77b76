/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/repo/model_repo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/io/dir_list.h"
#include "storage/repo/model_dir.h"
#include "storage/repo/repo_name.h"

/* Publishers that delete what a reader has just listed make it list again;
 * they would have to do so this often in a row. */
#define LIST_ATTEMPTS 16

/* ---- models -------------------------------------------------------------- */

struct collecting {
    int fd;
    const char *repo;
    struct model_names models;
};

static int collect(void *arg, const char *name, struct nb_errctx *err)
{
    struct collecting *collecting = arg;
    struct model_names *models = &collecting->models;
    bool is_dir;
    if (!repo_name_is_valid(name, REPO_NAME_MAX)) {
        return 0;
    }
    int rv = dir_has_dir(collecting->fd, name, &is_dir);
    if (rv != 0) {
        return nb_fail(err, rv, "%s/%s: %s", collecting->repo, name,
                       nb_strerror(rv));
    }
    if (!is_dir) {
        return 0;
    }
    char **names =
        realloc((void *)models->names, (models->n + 1) * sizeof(*names));
    if (names != NULL) {
        models->names = names;
        names[models->n] = strdup(name);
    }
    if (names == NULL || names[models->n] == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", name);
    }
    models->n++;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int model_repo_models(const char *repo, struct model_names *models,
                      struct nb_errctx *err)
{
    struct collecting collecting = {
        .fd = open(repo, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .repo = repo};
    if (collecting.fd < 0) {
        int rv = -errno;
        return nb_fail(err, rv, "%s: cannot open the repository: %s", repo,
                       nb_strerror(rv));
    }
    int rv = dir_each(collecting.fd, repo, collect, &collecting, err);
    close(collecting.fd);
    if (rv != 0) {
        model_names_fini(&collecting.models);
        return rv;
    }
    *models = collecting.models;
    if (models->n > 0) {
        qsort((void *)models->names, models->n, sizeof(*models->names),
              compare);
    }
    return 0;
}

void model_names_fini(struct model_names *models)
{
    for (size_t i = 0; i < models->n; i++) {
        free(models->names[i]);
    }
    free((void *)models->names);
    *models = (struct model_names){0};
}

/* ---- the version to be served -------------------------------------------- */

bool version_error_is_shortage(int rv)
{
    return rv == NB_ERR_NOMEM || rv == -ENOMEM || rv == -EMFILE ||
           rv == -ENFILE;
}

/* A search in the directory of one model. */
struct searching {
    const struct serving_search *search;
    const struct model_dir *dir;
    struct serving *serving; /* to be filled */
    struct nb_errctx *err;
};

static int try_version(const struct searching *searching, uint64_t version,
                       enum version_verdict *verdict, struct nb_errctx *why)
{
    const struct serving_search *search = searching->search;
    struct serving *serving = searching->serving;
    char *path;
    int rv = model_dir_version_path(searching->dir, version, &path, why);
    if (rv != 0) {
        return rv;
    }
    struct model_version *opened = NULL;
    *verdict = search->judge != NULL ? search->judge(search->arg, version, path)
                                     : VERSION_OPEN;
    if (*verdict == VERSION_SKIP) {
        rv = nb_fail(why, NB_ERR_INVALID, "%s: was tried before", path);
    } else if (*verdict == VERSION_OPEN) {
        rv = model_version_open(path, search->verify, &opened, why);
    }
    if (rv != 0) {
        free(path);
        return rv;
    }
    *serving =
        (struct serving){.version = version, .opened = opened, .path = path};
    return 0;
}

static void tell_skipped(const struct searching *searching, uint64_t version,
                         const char *why)
{
    if (searching->search->skipped != NULL) {
        searching->search->skipped(searching->search->arg, version, why);
    }
}

/* -EAGAIN: a version went away, the list is out of date. */
static int open_highest(const struct searching *searching,
                        const struct version_list *list)
{
    for (size_t i = list->n; i-- > 0;) {
        uint64_t version = list->versions[i];
        enum version_verdict verdict = VERSION_OPEN;
        struct nb_errctx why = {""};
        int rv = try_version(searching, version, &verdict, &why);
        if (rv == 0) {
            return 0;
        }
        if (version_error_is_shortage(rv)) {
            searching->serving->version = version;
            return nb_fail(searching->err, rv, "%s", why.text);
        }
        if (verdict == VERSION_OPEN) {
            if (model_dir_lacks(searching->dir, version)) {
                return -EAGAIN;
            }
            tell_skipped(searching, version, why.text);
        }
        if (list->n == 1) {
            return nb_fail(searching->err, NB_ERR_NOT_FOUND, "%s", why.text);
        }
    }
    searching->serving->empty = list->n == 0;
    return nb_fail(searching->err, NB_ERR_NOT_FOUND, "%s: %s",
                   searching->dir->path,
                   list->n == 0 ? "has no version" : "no version is whole");
}

static int open_pinned(const struct searching *searching, uint64_t version)
{
    struct nb_errctx why = {""};
    enum version_verdict verdict;
    int rv = try_version(searching, version, &verdict, &why);
    if (rv != 0) {
        searching->serving->version = version;
        nb_fail(searching->err, rv, "pinned to version %" PRIu64 ": %s",
                version, why.text);
    }
    searching->serving->pinned = true;
    return rv;
}

static int open_once(const struct searching *searching)
{
    uint64_t pinned = 0;
    struct version_list list;
    int rv = model_dir_pinned(searching->dir, &pinned, searching->err);
    if (rv != 0) {
        searching->serving->pinned = !version_error_is_shortage(rv);
        return rv;
    }
    if (pinned != 0) {
        return open_pinned(searching, pinned);
    }
    rv = model_dir_versions(searching->dir, &list, searching->err);
    if (rv == 0) {
        rv = open_highest(searching, &list);
        version_list_fini(&list);
    }
    return rv;
}

int model_repo_open_serving(const char *repo, const char *model,
                            const struct serving_search *search,
                            struct serving *serving, struct nb_errctx *err)
{
    struct model_dir dir;
    *serving = (struct serving){0};
    int rv = model_dir_open(repo, model, &dir, err);
    if (rv != 0) {
        return rv;
    }
    const struct searching searching = {search, &dir, serving, err};
    rv = -EAGAIN;
    for (int i = 0; i < LIST_ATTEMPTS && rv == -EAGAIN; i++) {
        rv = open_once(&searching);
    }
    if (rv == -EAGAIN) {
        nb_fail(err, rv, "%s: its versions change faster than they open",
                dir.path);
    }
    model_dir_close(&dir);
    return rv;
}

void serving_fini(struct serving *serving)
{
    model_version_close(serving->opened);
    free(serving->path);
    *serving = (struct serving){0};
}

/* ---- pinning ------------------------------------------------------------- */

/* Of many, the highest: they are what one looks for. */
#define VERSIONS_NAMED 5u

static int refuse_version(const struct model_dir *dir, uint64_t version,
                          struct nb_errctx *err)
{
    struct version_list list;
    struct nb_errctx ignored;
    char names[VERSIONS_NAMED * 24] = "";
    if (model_dir_versions(dir, &list, &ignored) != 0) {
        list = (struct version_list){0};
    }
    size_t first = list.n > VERSIONS_NAMED ? list.n - VERSIONS_NAMED : 0;
    size_t at = 0;
    for (size_t i = first; i < list.n; i++) {
        at += (size_t)snprintf(names + at, sizeof(names) - at, ", %" PRIu64,
                               list.versions[i]);
    }
    version_list_fini(&list);
    return nb_fail(err, NB_ERR_NOT_FOUND,
                   "%.90s: there is no version %" PRIu64 "%s%s%s", dir->path,
                   version, at > 0 ? ", there is " : "",
                   first > 0 ? "..., " : "", at > 0 ? names + 2 : "");
}

/* Of a directory that is not there: which there are, if the repository is. */
static int refuse_model(const char *repo, const char *model,
                        struct nb_errctx *err)
{
    struct model_names models = {0};
    struct nb_errctx ignored;
    if (model_repo_models(repo, &models, &ignored) != 0) {
        return -ENOENT; /* *err says it */
    }
    char names[112] = "";
    size_t at = 0;
    for (size_t i = 0; i < models.n && at < sizeof(names); i++) {
        at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s",
                               i > 0 ? ", " : "there is ", models.names[i]);
    }
    if (at >= sizeof(names)) {
        memcpy(names + sizeof(names) - sizeof("..."), "...", sizeof("..."));
    }
    model_names_fini(&models);
    return nb_fail(err, -ENOENT, "%.60s: no model '%.50s', %s", repo, model,
                   at > 0 ? names : "nor any other");
}

static int check_whole(const struct model_dir *dir, uint64_t version,
                       struct nb_errctx *err)
{
    struct model_version *opened = NULL;
    char *path;
    if (model_dir_lacks(dir, version)) {
        return refuse_version(dir, version, err);
    }
    int rv = model_dir_version_path(dir, version, &path, err);
    if (rv == 0) {
        rv = model_version_open(path, TABLE_VERIFY_FULL, &opened, err);
        free(path);
    }
    if (rv == 0) {
        model_version_close(opened);
    }
    return rv;
}

/* The check takes long, so publishers are not kept waiting by it; under the
 * lock the version must still be there. */
static int pin_locked(const struct model_dir *dir, uint64_t version,
                      struct nb_errctx *err)
{
    int rv = model_dir_lock(dir, err);
    if (rv != 0) {
        return rv;
    }
    rv = model_dir_hide_leftovers(dir, err);
    if (rv == 0 && version != 0 && model_dir_lacks(dir, version)) {
        rv = nb_fail(err, NB_ERR_NOT_FOUND, "%s: version %" PRIu64 " is gone",
                     dir->path, version);
    }
    if (rv == 0) {
        rv = model_dir_pin(dir, version, err);
    }
    model_dir_unlock(dir);
    return rv;
}

int model_repo_pin(const char *repo, const char *model, uint64_t version,
                   struct nb_errctx *err)
{
    struct model_dir dir;
    int rv = model_dir_open(repo, model, &dir, err);
    if (rv != 0) {
        return rv == -ENOENT ? refuse_model(repo, model, err) : rv;
    }
    if (version != 0) {
        rv = check_whole(&dir, version, err);
    }
    if (rv == 0) {
        rv = pin_locked(&dir, version, err);
    }
    model_dir_close(&dir);
    return rv;
}
