/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A key for each row of a source, from a file beside it: a .npy vector of <u8
 * or <i8, or the same integers alone, little-endian. A negative one is the key
 * of the same bits. */
#ifndef NB_STORAGE_ROW_KEYS_H
#define NB_STORAGE_ROW_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

struct row_keys;

/* The caller ends *keys with row_keys_close(). -errno; NB_ERR_SOURCE;
 * NB_ERR_UNSUPPORTED: no vector of such integers; NB_ERR_NOMEM. */
int row_keys_open(const char *path, struct row_keys **keys,
                  struct nb_errctx *err);
void row_keys_close(struct row_keys *keys); /* NULL is allowed */

uint64_t row_keys_count(const struct row_keys *keys);

/* The keys of the next n rows. -errno; NB_ERR_INVALID: there are fewer. */
int row_keys_read(struct row_keys *keys, size_t n, uint64_t *to,
                  struct nb_errctx *err);

/* After the last row: NB_ERR_INVALID if there are more keys. */
int row_keys_end(const struct row_keys *keys, struct nb_errctx *err);

#endif
