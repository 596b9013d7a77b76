/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The hidden directories of a model: see model_dir.h. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/io/dir_list.h"
#include "storage/repo/model_dir.h"

#define STAGE_PREFIX   ".publish-"
#define DELETED_PREFIX ".deleted-"
/* What atomic_file makes of SERVING until it is whole. */
#define PIN_PREFIX "." MODEL_DIR_SERVING "."

#define NAME_ATTEMPTS 16 /* with 64 random bits, one is enough */
#define TREE_FDS      8  /* nftw() opens and closes beyond that */

static int fail_at(const struct model_dir *dir, const char *name, int rv,
                   const char *what, struct nb_errctx *err)
{
    return nb_fail(err, rv, "%s/%s: %s: %s", dir->path, name, what,
                   nb_strerror(rv));
}

static int random_name(const char *prefix, char name[NAME_MAX + 1])
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        return -EIO;
    }
    snprintf(name, NAME_MAX + 1, "%s%016" PRIx64, prefix, random);
    return 0;
}

static bool begins_with(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Never over what is there. File systems that know no such rename refuse to
 * replace a directory that holds anything, or a file: versions hold a
 * manifest. */
static int rename_new(const struct model_dir *dir, const char *from,
                      const char *to)
{
    int rv = renameat2(dir->fd, from, dir->fd, to, RENAME_NOREPLACE);
    if (rv != 0 && (errno == EINVAL || errno == ENOSYS)) {
        rv = renameat(dir->fd, from, dir->fd, to);
    }
    if (rv == 0) {
        return 0;
    }
    return errno == ENOTEMPTY || errno == ENOTDIR ? -EEXIST : -errno;
}

/* ---- building a version -------------------------------------------------- */

int model_stage_open(const struct model_dir *dir, struct model_stage *stage,
                     struct nb_errctx *err)
{
    int rv = -EEXIST;
    *stage = (struct model_stage){.fd = -1};
    for (int i = 0; i < NAME_ATTEMPTS && rv == -EEXIST; i++) {
        rv = random_name(STAGE_PREFIX, stage->name);
        if (rv == 0 && mkdirat(dir->fd, stage->name, 0777) != 0) {
            rv = -errno;
        }
    }
    if (rv != 0) {
        stage->name[0] = '\0';
        return fail_at(dir, "", rv, "cannot create a directory in it", err);
    }
    stage->fd = openat(dir->fd, stage->name,
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    /* Nobody else locks it while the model is locked. */
    if (stage->fd < 0 || flock(stage->fd, LOCK_EX | LOCK_NB) != 0) {
        rv = fail_at(dir, stage->name, -errno, "cannot lock", err);
        model_stage_close(dir, stage);
        return rv;
    }
    return 0;
}

int model_stage_commit(const struct model_dir *dir, struct model_stage *stage,
                       uint64_t version, struct nb_errctx *err)
{
    char name[32];
    snprintf(name, sizeof(name), "%" PRIu64, version);
    int rv = dir_sync(stage->fd, dir->path, err);
    if (rv != 0) {
        return rv;
    }
    rv = rename_new(dir, stage->name, name);
    if (rv != 0) {
        return fail_at(dir, name, rv, "cannot make it appear", err);
    }
    stage->name[0] = '\0';
    return dir_sync(dir->fd, dir->path, err);
}

/* ---- deleting ------------------------------------------------------------ */

static int remove_entry(const char *path, const struct stat *stat, int type,
                        struct FTW *at)
{
    (void)stat;
    (void)type;
    (void)at;
    /* Another sweep may have been faster. */
    return remove(path) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Follows no link and stays on the file system. */
static int remove_tree(const struct model_dir *dir, const char *name,
                       struct nb_errctx *err)
{
    char *path;
    int rv = model_dir_join(dir, name, &path, err);
    if (rv != 0) {
        return rv;
    }
    /* The walk's state is its own. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    rv = nftw(path, remove_entry, TREE_FDS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    if (rv == -1) {
        rv = errno == ENOENT ? 0 : -errno;
    }
    free(path);
    return rv == 0 ? 0 : fail_at(dir, name, rv, "cannot delete", err);
}

void model_stage_close(const struct model_dir *dir, struct model_stage *stage)
{
    if (stage->name[0] != '\0') {
        /* What cannot be deleted is left to the next sweep. */
        (void)remove_tree(dir, stage->name, NULL);
        stage->name[0] = '\0';
    }
    if (stage->fd >= 0) {
        close(stage->fd);
        stage->fd = -1;
    }
}

static int hide(const struct model_dir *dir, const char *name,
                struct nb_errctx *err)
{
    char hidden[NAME_MAX + 1];
    int rv = random_name(DELETED_PREFIX, hidden);
    if (rv == 0) {
        rv = rename_new(dir, name, hidden);
    }
    return rv == 0 ? 0 : fail_at(dir, name, rv, "cannot hide", err);
}

int model_dir_hide_version(const struct model_dir *dir, uint64_t version,
                           struct nb_errctx *err)
{
    char name[32];
    snprintf(name, sizeof(name), "%" PRIu64, version);
    int rv = hide(dir, name, err);
    /* Gone for good before its first file is: a crash must not bring back a
     * directory that is half empty. */
    return rv == 0 ? dir_sync(dir->fd, dir->path, err) : rv;
}

/* Whoever builds in a directory holds its lock, and locks end with their
 * process. */
static bool is_abandoned(const struct model_dir *dir, const char *name)
{
    int fd =
        openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool abandoned = flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return abandoned;
}

static int hide_leftover(void *arg, const char *name, struct nb_errctx *err)
{
    const struct model_dir *dir = *(const struct model_dir **)arg;
    if (begins_with(name, PIN_PREFIX)) {
        /* Pins are written under the lock, which we hold. */
        if (unlinkat(dir->fd, name, 0) != 0 && errno != EISDIR) {
            return fail_at(dir, name, -errno, "cannot delete", err);
        }
        return 0;
    }
    if (begins_with(name, STAGE_PREFIX) && is_abandoned(dir, name)) {
        return hide(dir, name, err);
    }
    return 0;
}

int model_dir_hide_leftovers(const struct model_dir *dir, struct nb_errctx *err)
{
    return dir_each(dir->fd, dir->path, hide_leftover, &dir, err);
}

static int delete_hidden(void *arg, const char *name, struct nb_errctx *err)
{
    const struct model_dir *dir = *(const struct model_dir **)arg;
    return begins_with(name, DELETED_PREFIX) ? remove_tree(dir, name, err) : 0;
}

int model_dir_sweep(const struct model_dir *dir, struct nb_errctx *err)
{
    return dir_each(dir->fd, dir->path, delete_hidden, &dir, err);
}
