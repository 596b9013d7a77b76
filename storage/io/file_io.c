/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/io/file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int file_id_of(int fd, struct file_id *id)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0) {
        return -errno;
    }
    *id = (struct file_id){.device = stat.st_dev, .inode = stat.st_ino};
    return 0;
}

bool file_id_is(const struct file_id *id, const char *path)
{
    struct stat other;
    return stat(path, &other) == 0 && other.st_dev == id->device &&
           other.st_ino == id->inode;
}

int file_check_distinct(const char *input, const char *what, const char *output,
                        struct nb_errctx *err)
{
    struct stat file;
    if (stat(input, &file) != 0) {
        return 0;
    }
    const struct file_id id = {.device = file.st_dev, .inode = file.st_ino};
    return file_id_is(&id, output)
               ? nb_fail(err, NB_ERR_INVALID,
                         "%s: is the file of %s, will not replace it", output,
                         what)
               : 0;
}

int file_open(const char *path, int *fd, uint64_t *bytes, struct nb_errctx *err)
{
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0) {
        int rv = -errno;
        return nb_fail(err, rv, "%s: cannot open: %s", path, nb_strerror(rv));
    }
    struct stat stat;
    int rv;
    if (fstat(opened, &stat) != 0) {
        rv = -errno;
        nb_fail(err, rv, "%s: fstat: %s", path, nb_strerror(rv));
        goto err_close;
    }
    if (S_ISDIR(stat.st_mode)) {
        rv = nb_fail(err, -EISDIR, "%s: is a directory, not a file", path);
        goto err_close;
    }
    if (!S_ISREG(stat.st_mode)) {
        rv = nb_fail(err, NB_ERR_UNSUPPORTED, "%s: not a regular file", path);
        goto err_close;
    }
    *fd = opened;
    *bytes = (uint64_t)stat.st_size;
    return 0;

err_close:
    close(opened);
    return rv;
}

int file_read(int fd, void *to, size_t n, size_t *got)
{
    size_t done = 0;
    while (done < n) {
        ssize_t part = read(fd, (char *)to + done, n - done);
        if (part > 0) {
            done += (size_t)part;
        } else if (part == 0) {
            break;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    *got = done;
    return 0;
}

int file_read_at(int fd, void *to, size_t n, uint64_t offset)
{
    size_t done = 0;
    while (done < n) {
        ssize_t part =
            pread(fd, (char *)to + done, n - done, (off_t)(offset + done));
        if (part > 0) {
            done += (size_t)part;
        } else if (part == 0) {
            return NB_ERR_TRUNCATED;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int file_write_at(int fd, const void *from, size_t n, uint64_t offset)
{
    size_t done = 0;
    while (done < n) {
        ssize_t part = pwrite(fd, (const char *)from + done, n - done,
                              (off_t)(offset + done));
        if (part > 0) {
            done += (size_t)part;
        } else if (part == 0) {
            return -EIO;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}
