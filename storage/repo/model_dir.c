/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/repo/model_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/io/atomic_file.h"
#include "storage/io/dir_list.h"
#include "storage/io/file_io.h"
#include "storage/repo/repo_name.h"

#define PIN_BYTES_MAX 32 /* 20 digits, a newline; more is no pin */

static int fail_at(const struct model_dir *dir, int rv, const char *what,
                   struct nb_errctx *err)
{
    return nb_fail(err, rv, "%s: %s: %s", dir->path, what, nb_strerror(rv));
}

/* ---- opening ------------------------------------------------------------- */

static int make_path(const char *repo, const char *model, struct model_dir *dir,
                     struct nb_errctx *err)
{
    *dir = (struct model_dir){.fd = -1};
    if (!repo_name_is_valid(model, REPO_NAME_MAX)) {
        nb_fail(err, NB_ERR_INVALID,
                "model '%.80s': a name is 1 to %d letters, digits, '_', '.', "
                "'-', and does not begin with '.'",
                model, REPO_NAME_MAX);
        return NB_ERR_INVALID;
    }
    if (asprintf(&dir->path, "%s/%s", repo, model) < 0) {
        dir->path = NULL;
        nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", repo);
        return NB_ERR_NOMEM;
    }
    return 0;
}

static int open_path(struct model_dir *dir, struct nb_errctx *err)
{
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir->fd < 0) {
        int rv = fail_at(dir, -errno, "cannot open the model's directory", err);
        model_dir_close(dir);
        return rv;
    }
    return 0;
}

int model_dir_open(const char *repo, const char *model, struct model_dir *dir,
                   struct nb_errctx *err)
{
    int rv = make_path(repo, model, dir, err);
    return rv == 0 ? open_path(dir, err) : rv;
}

int model_dir_create(const char *repo, const char *model, struct model_dir *dir,
                     struct nb_errctx *err)
{
    int rv = make_path(repo, model, dir, err);
    if (rv != 0) {
        return rv;
    }
    if (mkdir(dir->path, 0777) == 0) {
        rv = dir_sync_path(repo, err);
    } else if (errno == ENOENT) {
        rv = nb_fail(err, -ENOENT,
                     "%s: no such directory: a repository begins as an empty "
                     "one (mkdir)",
                     repo);
    } else if (errno != EEXIST) {
        rv = fail_at(dir, -errno, "cannot create the model's directory", err);
    }
    if (rv != 0) {
        model_dir_close(dir);
        return rv;
    }
    return open_path(dir, err);
}

void model_dir_close(struct model_dir *dir)
{
    if (dir->fd >= 0) {
        close(dir->fd);
    }
    free(dir->path);
    *dir = (struct model_dir){.fd = -1};
}

/* ---- locking ------------------------------------------------------------- */

int model_dir_lock(const struct model_dir *dir, struct nb_errctx *err)
{
    while (flock(dir->fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            return fail_at(dir, -errno, "cannot lock", err);
        }
    }
    return 0;
}

void model_dir_unlock(const struct model_dir *dir)
{
    (void)flock(dir->fd, LOCK_UN);
}

/* ---- versions ------------------------------------------------------------ */

struct collecting {
    const struct model_dir *dir;
    struct version_list list;
};

/* Anything but a directory whose name is a version is no business of ours. */
static int collect(void *arg, const char *name, struct nb_errctx *err)
{
    struct collecting *collecting = arg;
    struct version_list *list = &collecting->list;
    uint64_t version;
    bool is_dir;
    if (!repo_version_parse(name, &version)) {
        return 0;
    }
    int rv = dir_has_dir(collecting->dir->fd, name, &is_dir);
    if (rv != 0) {
        return fail_at(collecting->dir, rv, name, err);
    }
    if (!is_dir) {
        return 0;
    }
    uint64_t *versions =
        realloc(list->versions, (list->n + 1) * sizeof(*versions));
    if (versions == NULL) {
        return fail_at(collecting->dir, NB_ERR_NOMEM, "cannot list", err);
    }
    list->versions = versions;
    list->versions[list->n++] = version;
    return 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int model_dir_versions(const struct model_dir *dir, struct version_list *list,
                       struct nb_errctx *err)
{
    struct collecting collecting = {.dir = dir};
    int rv = dir_each(dir->fd, dir->path, collect, &collecting, err);
    if (rv != 0) {
        version_list_fini(&collecting.list);
        return rv;
    }
    *list = collecting.list;
    if (list->n > 0) {
        qsort(list->versions, list->n, sizeof(*list->versions), compare);
    }
    return 0;
}

void version_list_fini(struct version_list *list)
{
    free(list->versions);
    *list = (struct version_list){0};
}

bool version_list_has(const struct version_list *list, uint64_t version)
{
    return list->n > 0 && bsearch(&version, list->versions, list->n,
                                  sizeof(version), compare) != NULL;
}

bool model_dir_lacks(const struct model_dir *dir, uint64_t version)
{
    char name[32];
    bool is_dir;
    snprintf(name, sizeof(name), "%" PRIu64, version);
    return dir_has_dir(dir->fd, name, &is_dir) == 0 && !is_dir;
}

int model_dir_has_name(const struct model_dir *dir, uint64_t version, bool *has,
                       struct nb_errctx *err)
{
    char name[32];
    struct stat stat;
    snprintf(name, sizeof(name), "%" PRIu64, version);
    *has = fstatat(dir->fd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0;
    return *has || errno == ENOENT ? 0 : fail_at(dir, -errno, name, err);
}

int model_dir_join(const struct model_dir *dir, const char *name, char **path,
                   struct nb_errctx *err)
{
    if (asprintf(path, "%s/%s", dir->path, name) < 0) {
        return fail_at(dir, NB_ERR_NOMEM, name, err);
    }
    return 0;
}

int model_dir_version_path(const struct model_dir *dir, uint64_t version,
                           char **path, struct nb_errctx *err)
{
    char name[32];
    snprintf(name, sizeof(name), "%" PRIu64, version);
    return model_dir_join(dir, name, path, err);
}

/* ---- the pin ------------------------------------------------------------- */

static int read_pin(const struct model_dir *dir, int fd, uint64_t *version,
                    struct nb_errctx *err)
{
    char text[PIN_BYTES_MAX + 1];
    size_t n = 0;
    struct stat stat;
    if (fstat(fd, &stat) != 0) {
        return fail_at(dir, -errno, MODEL_DIR_SERVING, err);
    }
    if (!S_ISREG(stat.st_mode)) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s/" MODEL_DIR_SERVING ": not a regular file",
                       dir->path);
    }
    int rv = file_read(fd, text, PIN_BYTES_MAX, &n);
    if (rv != 0) {
        return fail_at(dir, rv, MODEL_DIR_SERVING, err);
    }
    if (n > 0 && text[n - 1] == '\n') {
        n--;
    }
    text[n] = '\0';
    if (strlen(text) != n || !repo_version_parse(text, version)) {
        return nb_fail(err, NB_ERR_FORMAT,
                       "%s/" MODEL_DIR_SERVING ": holds no version number",
                       dir->path);
    }
    return 0;
}

int model_dir_pinned(const struct model_dir *dir, uint64_t *version,
                     struct nb_errctx *err)
{
    int fd = openat(dir->fd, MODEL_DIR_SERVING,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        *version = 0;
        return 0;
    }
    if (fd < 0) {
        return fail_at(dir, -errno, "cannot open " MODEL_DIR_SERVING, err);
    }
    int rv = read_pin(dir, fd, version, err);
    close(fd);
    return rv;
}

static int remove_pin(const struct model_dir *dir, struct nb_errctx *err)
{
    if (unlinkat(dir->fd, MODEL_DIR_SERVING, 0) != 0 && errno != ENOENT) {
        return fail_at(dir, -errno, "cannot remove " MODEL_DIR_SERVING, err);
    }
    return dir_sync(dir->fd, dir->path, err);
}

int model_dir_pin(const struct model_dir *dir, uint64_t version,
                  struct nb_errctx *err)
{
    char text[32];
    char *path;
    struct atomic_file *file;
    if (version == 0) {
        return remove_pin(dir, err);
    }
    int rv = model_dir_join(dir, MODEL_DIR_SERVING, &path, err);
    if (rv != 0) {
        return rv;
    }
    int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", version);
    rv = atomic_file_create(path, &file, err);
    free(path);
    if (rv != 0) {
        return rv;
    }
    rv = atomic_file_write(file, text, (size_t)n, 0, err);
    if (rv == 0) {
        rv = atomic_file_commit(file, err);
    }
    atomic_file_destroy(file);
    return rv;
}
