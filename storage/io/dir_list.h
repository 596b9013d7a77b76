/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Directories: what is in them, and what of that is on the disk. */
#ifndef NB_STORAGE_DIR_LIST_H
#define NB_STORAGE_DIR_LIST_H

#include "quant/nibble.h"

/* Called with the name of an entry; what is not 0 ends the walk. */
typedef int dir_each_fn(void *arg, const char *name, struct nb_errctx *err);

/* Calls `each` for the entries of an open directory but "." and "..", in no
 * order. `path` is for messages. -errno, or what `each` returned. */
int dir_each(int fd, const char *path, dir_each_fn *each, void *arg,
             struct nb_errctx *err);

/* Syncs a directory: its entries survive a crash. -errno. */
int dir_sync(int fd, const char *path, struct nb_errctx *err);
int dir_sync_path(const char *path, struct nb_errctx *err);

#endif
