/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Directories: what is in them, and what of that is on the disk. */
#ifndef NB_STORAGE_DIR_LIST_H
#define NB_STORAGE_DIR_LIST_H

#include <stdbool.h>

#include "quant/nibble.h"

/* Called with the name of an entry; what is not 0 ends the walk. */
typedef int dir_each_fn(void *arg, const char *name, struct nb_errctx *err);

/* Calls `each` for the entries of an open directory but "." and "..", in no
 * order. `path` is for messages. -errno, or what `each` returned. */
int dir_each(int fd, const char *path, dir_each_fn *each, void *arg,
             struct nb_errctx *err);

/* Whether a directory, and no link to one, stands in the open directory under
 * this name. -errno: that cannot be told. */
int dir_has_dir(int fd, const char *name, bool *is_dir);

/* Syncs a directory: its entries survive a crash. -errno. */
int dir_sync(int fd, const char *path, struct nb_errctx *err);
int dir_sync_path(const char *path, struct nb_errctx *err);

#endif
