/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Whole reads and writes: EINTR and short transfers are gone on with. */
#ifndef NB_STORAGE_FILE_IO_H
#define NB_STORAGE_FILE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

/* Which file it is, by whatever name. */
struct file_id {
    uint64_t device;
    uint64_t inode;
};

/* -errno. */
int file_id_of(int fd, struct file_id *id);

/* Does `path` lead to that file? An output that would replace an input is
 * found out with this. */
bool file_id_is(const struct file_id *id, const char *path);

/* NB_ERR_INVALID if `output` leads to the file `input`, the file of `what`. An
 * input that is not there is no error. */
int file_check_distinct(const char *input, const char *what, const char *output,
                        struct nb_errctx *err);

/* Opens a regular file for reading; *bytes is its size. Does not block on a
 * FIFO. -errno (-EISDIR for a directory), NB_ERR_UNSUPPORTED (a device, pipe
 * or socket). */
int file_open(const char *path, int *fd, uint64_t *bytes,
              struct nb_errctx *err);

/* Reads up to n bytes at the file's position; *got < n only at the end of the
 * file. -errno. */
int file_read(int fd, void *to, size_t n, size_t *got);

/* Reads n bytes from `offset` on. -errno, NB_ERR_TRUNCATED. */
int file_read_at(int fd, void *to, size_t n, uint64_t offset);

/* Writes n bytes from `offset` on. -errno. */
int file_write_at(int fd, const void *from, size_t n, uint64_t offset);

#endif
