/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Which versions of a model go when no more than so many are kept. */
#ifndef NB_STORAGE_RETENTION_H
#define NB_STORAGE_RETENTION_H

#include <stdint.h>

#include "quant/nibble.h"
#include "storage/repo/model_dir.h"

/*
 * The versions that would be deleted if `published` is there and `keep` (at
 * least 1) of the highest are kept: never the highest, never the pinned one,
 * never `published`. The caller ends *doomed with version_list_fini(). Errors
 * of model_dir_versions() and model_dir_pinned(): if it cannot be known what is
 * pinned, nothing is deleted.
 */
int retention_plan(const struct model_dir *dir, uint64_t keep,
                   uint64_t published, struct version_list *doomed,
                   struct nb_errctx *err);

/* Under the lock: hides them, the lowest first; *doomed then lists those that
 * were, on an error too. */
int retention_apply(const struct model_dir *dir, uint64_t keep,
                    uint64_t published, struct version_list *doomed,
                    struct nb_errctx *err);

#endif
