/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/io/file_copy.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/io/file_io.h"

#define KERNEL_BLOCK ((size_t)64 << 20) /* often enough to show progress */
#define OWN_BLOCK    ((size_t)1 << 20)

struct copying {
    int from;
    int to;
    uint64_t bytes;
    uint64_t done;
    file_copy_fn *copied;
    void *arg;
};

static void step(struct copying *copying, size_t n)
{
    copying->done += n;
    if (copying->copied != NULL) {
        copying->copied(copying->arg, copying->done);
    }
}

static size_t next(const struct copying *copying, size_t block)
{
    uint64_t left = copying->bytes - copying->done;
    return left < block ? (size_t)left : block;
}

/* Only whole files are shared: else a longer file's tail would come along. */
static bool share(struct copying *copying)
{
    struct stat stat;
    if (fstat(copying->from, &stat) != 0 ||
        (uint64_t)stat.st_size != copying->bytes ||
        ioctl(copying->to, FICLONE, copying->from) != 0) {
        return false;
    }
    step(copying, (size_t)copying->bytes);
    return true;
}

static bool is_unsupported(int error)
{
    return error == EXDEV || error == EINVAL || error == ENOSYS ||
           error == EOPNOTSUPP || error == EBADF || error == EPERM;
}

/* As far as the kernel can; some file systems stop early, or say nothing of
 * what they cannot do. */
static int copy_in_kernel(struct copying *copying)
{
    while (copying->done < copying->bytes) {
        off_t from = (off_t)copying->done;
        off_t to = from;
        ssize_t part = copy_file_range(copying->from, &from, copying->to, &to,
                                       next(copying, KERNEL_BLOCK), 0);
        if (part > 0) {
            step(copying, (size_t)part);
        } else if (part == 0 || is_unsupported(errno)) {
            return 0;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static int copy_by_hand(struct copying *copying)
{
    if (copying->done == copying->bytes) {
        return 0;
    }
    void *block = malloc(OWN_BLOCK);
    if (block == NULL) {
        return NB_ERR_NOMEM;
    }
    int rv = 0;
    while (rv == 0 && copying->done < copying->bytes) {
        size_t n = next(copying, OWN_BLOCK);
        rv = file_read_at(copying->from, block, n, copying->done);
        if (rv == 0) {
            rv = file_write_at(copying->to, block, n, copying->done);
        }
        if (rv == 0) {
            step(copying, n);
        }
    }
    free(block);
    return rv;
}

int file_copy(int from, int to, uint64_t bytes, file_copy_fn *copied, void *arg)
{
    struct copying copying = {
        .from = from, .to = to, .bytes = bytes, .copied = copied, .arg = arg};
    if (share(&copying)) {
        return 0;
    }
    int rv = copy_in_kernel(&copying);
    return rv == 0 ? copy_by_hand(&copying) : rv;
}
