/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * nb_pool() a part at a time, for those who have other things to do in between:
 * a part ends between bags, or inside one that is longer than a block. Results
 * are bit for bit those of nb_pool(), whatever the parts.
 */
#ifndef NB_QUANT_POOLING_H
#define NB_QUANT_POOLING_H

#include <stddef.h>
#include <stdint.h>

#include "quant/kernel/kernels.h"
#include "quant/nibble.h"

/* Ids of a part are at most so many, or what pooling_next() was told. */
#define POOLING_IDS KERNEL_BLOCK

struct pooling;

/* Of the memory for one, wherever it stands. */
size_t pooling_bytes(void);

/* Begins one in that memory, which must not move: what is in it points there.
 * Rows, request and `out` are borrowed until the end. Nothing is read of rows
 * yet. Errors of nb_pool(). `kernel` is as batch_pool() has it. */
int pooling_begin(void *memory, const struct kernel *kernel,
                  const struct nb_rows *rows, const struct nb_pool *request,
                  void *out, struct pooling **pooling);

/* Where the next part's ids are, and perhaps more. */
struct nb_ids pooling_ahead(const struct pooling *pooling, size_t max_ids,
                            size_t max_bags);

/* Does the next part, of at least a window, a bag or a block of one. 1: there
 * is more; 0: that was all, and *unseen is set; or errors of nb_pool(), which
 * end it. The greatest of a table with protected rows is parted between bags
 * only. */
int pooling_next(struct pooling *pooling, size_t max_ids, size_t max_bags,
                 uint64_t *unseen);

#endif
