/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A file that appears whole, by rename, or not at all. */
#ifndef NB_STORAGE_ATOMIC_FILE_H
#define NB_STORAGE_ATOMIC_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/io/file_io.h"

struct atomic_file;

/* Creates a temporary file in the directory of `path`: without a name, so that
 * nothing is left if the process is killed, or under a hidden name of its own
 * where the file system knows no files without names. A symbolic link at `path`
 * is replaced, not followed. The caller ends *file with atomic_file_destroy()
 * on every path. -errno, NB_ERR_INVALID (what stands there is not a regular
 * file), NB_ERR_NOMEM. */
int atomic_file_create(const char *path, struct atomic_file **file,
                       struct nb_errctx *err);

/* Writes n bytes at `offset`; what is never written reads as zeros. -errno. */
int atomic_file_write(struct atomic_file *file, const void *from, size_t n,
                      uint64_t offset, struct nb_errctx *err);

/* Reads n bytes at `offset` that were written. -errno, NB_ERR_TRUNCATED. */
int atomic_file_read(const struct atomic_file *file, void *to, size_t n,
                     uint64_t offset, struct nb_errctx *err);

/* Syncs the file, gives it its name and syncs the directory. -errno; if only
 * the last step fails, the file has its name. */
int atomic_file_commit(struct atomic_file *file, struct nb_errctx *err);

/* Frees; removes the temporary file if it was not renamed. NULL is allowed. */
void atomic_file_destroy(struct atomic_file *file);

/* Which file it is, also once it has its name; before the commit. -errno. */
int atomic_file_id(const struct atomic_file *file, struct file_id *id);

/* The final path, for messages. */
const char *atomic_file_path(const struct atomic_file *file);

#endif
