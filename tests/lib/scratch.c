/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/scratch.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_PATHS 8

static char directory[3072];

void scratch_create(void)
{
    const char *base = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe) */
    snprintf(directory, sizeof(directory), "%s/scratch-XXXXXX",
             base != NULL ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static int remove_entry(const char *path, const struct stat *stat, int type,
                        struct FTW *at)
{
    (void)stat;
    (void)type;
    (void)at;
    return remove(path);
}

void scratch_remove(void)
{
    const int flags = FTW_DEPTH | FTW_PHYS | FTW_MOUNT;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no threads */
    ck_assert_int_eq(nftw(directory, remove_entry, 8, flags), 0);
}

size_t scratch_count(void)
{
    DIR *dir = opendir(directory);
    ck_assert_ptr_nonnull(dir);
    size_t n = 0;
    /* The stream is this function's own. NOLINTNEXTLINE(concurrency-*) */
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0
                 ? 1
                 : 0;
    }
    closedir(dir);
    return n;
}

const char *scratch_path(const char *name)
{
    static char paths[N_PATHS][4096];
    static unsigned next;
    char *path = paths[next++ % N_PATHS];
    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

const char *scratch_write(const char *name, const void *bytes, size_t n)
{
    const char *path = scratch_path(name);
    /* A file cut to nothing and written again is flushed by some systems when
     * it is closed, which takes longer than all the rest. */
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
    ck_assert_int_eq(close(fd), 0);
    return path;
}

uint8_t *scratch_read(const char *path, size_t *n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    struct stat stat;
    ck_assert_int_eq(fstat(fd, &stat), 0);
    *n = (size_t)stat.st_size;
    uint8_t *bytes = malloc(*n + 1);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(read(fd, bytes, *n), (ssize_t)*n);
    bytes[*n] = 0;
    ck_assert_int_eq(close(fd), 0);
    return bytes;
}
