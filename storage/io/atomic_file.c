/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/io/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/io/file_io.h"

#define NAME_ATTEMPTS 16 /* with 64 random bits, one is enough */

struct atomic_file {
    char *path;              /* final, as given */
    const char *base;        /* its last component, in path */
    int dir_fd;              /* of its directory */
    int fd;                  /* -1 once closed */
    char temp[NAME_MAX + 1]; /* name in the directory, "" while it has none */
};

static int fail_at(const struct atomic_file *file, int rv, const char *what,
                   struct nb_errctx *err)
{
    return nb_fail(err, rv, "%s: %s: %s", file->path, what, nb_strerror(rv));
}

/* A rename would replace a device or fail on a directory, after all the work:
 * that is found out before. */
static int check_target(const struct atomic_file *file, struct nb_errctx *err)
{
    struct stat stat;
    if (file->base[0] == '\0') {
        return nb_fail(err, -EISDIR, "%s: names a directory, not a file",
                       file->path);
    }
    if (fstatat(file->dir_fd, file->base, &stat, 0) != 0) {
        return errno == ENOENT ? 0 : fail_at(file, -errno, "stat", err);
    }
    if (S_ISDIR(stat.st_mode)) {
        return nb_fail(err, -EISDIR, "%s: is a directory, not a file",
                       file->path);
    }
    if (!S_ISREG(stat.st_mode)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: not a regular file, will not replace it",
                       file->path);
    }
    return 0;
}

static int open_directory(struct atomic_file *file, struct nb_errctx *err)
{
    char *slash = strrchr(file->path, '/');
    file->base = slash != NULL ? slash + 1 : file->path;
    const char *directory = ".";
    char *copy = NULL;
    if (slash != NULL) {
        /* Of "/name" the directory is "/". */
        size_t n = slash == file->path ? 1 : (size_t)(slash - file->path);
        copy = strndup(file->path, n);
        if (copy == NULL) {
            return fail_at(file, NB_ERR_NOMEM, "cannot create", err);
        }
        directory = copy;
    }
    int rv = 0;
    file->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->dir_fd < 0) {
        rv = fail_at(file, -errno, "cannot open its directory", err);
    }
    free(copy);
    return rv;
}

/* Where /proc shows the open file, for linkat(). */
struct proc_path {
    char text[32];
};

static struct proc_path proc_path_of(int fd)
{
    struct proc_path path;
    snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
    return path;
}

/* A file without a name is gone when the process is killed. Not every file
 * system has them, and without /proc they cannot be named. */
static bool create_unnamed(struct atomic_file *file)
{
    file->fd = openat(file->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (file->fd < 0) {
        return false;
    }
    if (access(proc_path_of(file->fd).text, F_OK) != 0) {
        close(file->fd);
        file->fd = -1;
        return false;
    }
    return true;
}

static int create_named(struct atomic_file *file)
{
    file->fd = openat(file->dir_fd, file->temp,
                      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return file->fd >= 0 ? 0 : -errno;
}

static int link_named(struct atomic_file *file)
{
    int rv = linkat(AT_FDCWD, proc_path_of(file->fd).text, file->dir_fd,
                    file->temp, AT_SYMLINK_FOLLOW);
    return rv == 0 ? 0 : -errno;
}

/* Does `name` with hidden names of the file's own until one is free. */
static int find_name(struct atomic_file *file,
                     int (*name)(struct atomic_file *))
{
    int rv = -EEXIST;
    for (int i = 0; i < NAME_ATTEMPTS && rv == -EEXIST; i++) {
        uint64_t random;
        if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
            rv = -EIO;
            break;
        }
        /* The name shows whose it is; 200 bytes of it leave room. */
        snprintf(file->temp, sizeof(file->temp), ".%.200s.%016" PRIx64 ".tmp",
                 file->base, random);
        rv = name(file);
    }
    if (rv != 0) {
        file->temp[0] = '\0';
    }
    return rv;
}

static int create_temp(struct atomic_file *file, struct nb_errctx *err)
{
    if (create_unnamed(file)) {
        return 0;
    }
    int rv = find_name(file, create_named);
    return rv == 0 ? 0
                   : fail_at(file, rv, "cannot create a file beside it", err);
}

int atomic_file_create(const char *path, struct atomic_file **file,
                       struct nb_errctx *err)
{
    struct atomic_file *created = calloc(1, sizeof(*created));
    if (created == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    created->fd = -1;
    created->dir_fd = -1;
    int rv;
    created->path = strdup(path);
    if (created->path == NULL) {
        rv = nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
        goto err_destroy;
    }
    rv = open_directory(created, err);
    if (rv != 0) {
        goto err_destroy;
    }
    rv = check_target(created, err);
    if (rv != 0) {
        goto err_destroy;
    }
    rv = create_temp(created, err);
    if (rv != 0) {
        goto err_destroy;
    }
    *file = created;
    return 0;

err_destroy:
    atomic_file_destroy(created);
    return rv;
}

int atomic_file_write(struct atomic_file *file, const void *from, size_t n,
                      uint64_t offset, struct nb_errctx *err)
{
    int rv = file_write_at(file->fd, from, n, offset);
    return rv == 0 ? 0 : fail_at(file, rv, "cannot write", err);
}

int atomic_file_read(const struct atomic_file *file, void *to, size_t n,
                     uint64_t offset, struct nb_errctx *err)
{
    int rv = file_read_at(file->fd, to, n, offset);
    return rv == 0 ? 0 : fail_at(file, rv, "cannot read back", err);
}

int atomic_file_commit(struct atomic_file *file, struct nb_errctx *err)
{
    if (fsync(file->fd) != 0) {
        return fail_at(file, -errno, "fsync", err);
    }
    if (file->temp[0] == '\0') {
        int rv = find_name(file, link_named); /* rename needs a name */
        if (rv != 0) {
            return fail_at(file, rv, "cannot name a file beside it", err);
        }
    }
    int closed = close(file->fd);
    file->fd = -1;
    if (closed != 0 && errno != EINTR) {
        return fail_at(file, -errno, "close", err);
    }
    if (renameat(file->dir_fd, file->temp, file->dir_fd, file->base) != 0) {
        return fail_at(file, -errno, "cannot rename to it", err);
    }
    file->temp[0] = '\0';
    /* Some file systems cannot sync a directory, and say EINVAL. */
    if (fsync(file->dir_fd) != 0 && errno != EINVAL) {
        return fail_at(file, -errno, "fsync of its directory", err);
    }
    return 0;
}

void atomic_file_destroy(struct atomic_file *file)
{
    if (file == NULL) {
        return;
    }
    if (file->fd >= 0) {
        close(file->fd);
    }
    if (file->temp[0] != '\0') {
        unlinkat(file->dir_fd, file->temp, 0);
    }
    if (file->dir_fd >= 0) {
        close(file->dir_fd);
    }
    free(file->path);
    free(file);
}

int atomic_file_id(const struct atomic_file *file, struct file_id *id)
{
    return file_id_of(file->fd, id);
}

const char *atomic_file_path(const struct atomic_file *file)
{
    return file->path;
}
