/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/io/dir_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_at(const char *path, int rv, const char *what,
                   struct nb_errctx *err)
{
    return nb_fail(err, rv, "%s: %s: %s", path, what, nb_strerror(rv));
}

static int walk(DIR *stream, const char *path, dir_each_fn *each, void *arg,
                struct nb_errctx *err)
{
    int rv = 0;
    while (rv == 0) {
        errno = 0;
        /* The stream is ours alone. */
        struct dirent *entry = readdir(stream); /* NOLINT(concurrency-*) */
        if (entry == NULL) {
            return errno == 0 ? 0 : fail_at(path, -errno, "cannot list", err);
        }
        if (strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0) {
            rv = each(arg, entry->d_name, err);
        }
    }
    return rv;
}

int dir_each(int fd, const char *path, dir_each_fn *each, void *arg,
             struct nb_errctx *err)
{
    /* Of its own: a stream moves the descriptor's position, and closes it. */
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0) {
        return fail_at(path, -errno, "cannot list", err);
    }
    DIR *stream = fdopendir(own);
    if (stream == NULL) {
        int rv = fail_at(path, -errno, "cannot list", err);
        close(own);
        return rv;
    }
    int rv = walk(stream, path, each, arg, err);
    closedir(stream);
    return rv;
}

int dir_has_dir(int fd, const char *name, bool *is_dir)
{
    struct stat stat;
    *is_dir = false;
    if (fstatat(fd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0) {
        *is_dir = S_ISDIR(stat.st_mode);
        return 0;
    }
    return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
}

int dir_sync(int fd, const char *path, struct nb_errctx *err)
{
    /* Some file systems cannot sync a directory, and say EINVAL. */
    if (fsync(fd) != 0 && errno != EINVAL) {
        return fail_at(path, -errno, "fsync", err);
    }
    return 0;
}

int dir_sync_path(const char *path, struct nb_errctx *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fail_at(path, -errno, "cannot open", err);
    }
    int rv = dir_sync(fd, path, err);
    close(fd);
    return rv;
}
