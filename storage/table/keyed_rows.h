/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Puts the rows of a keyed table in the order of its key index. Rows come in
 * the order of the source, each with its key behind it, and stand in a file
 * without a name beside the table until all are there. Then they are sorted by
 * the hash of their keys into pieces that fit memory, the index is built piece
 * by piece, and the rows are handed on in their new order.
 * Memory is at most 64 MiB, or 1/128 of the rows, and 0.4 bytes a key; the disk
 * holds the rows twice meanwhile.
 */
#ifndef NB_STORAGE_KEYED_ROWS_H
#define NB_STORAGE_KEYED_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/table/key_index.h"

struct keyed_rows;

/* Rows of `stride` bytes, the key standing at `key_at`; `path` is the table's.
 * The caller ends *rows with keyed_rows_destroy(). -errno, NB_ERR_NOMEM. */
int keyed_rows_create(const char *path, size_t stride, size_t key_at,
                      struct keyed_rows **rows, struct nb_errctx *err);

void keyed_rows_destroy(struct keyed_rows *rows); /* NULL is allowed */

/* Takes the next n rows. -errno, NB_ERR_TOO_LARGE. */
int keyed_rows_append(struct keyed_rows *rows, const void *bytes, size_t n,
                      struct nb_errctx *err);

/* Takes sorted rows. */
typedef int keyed_rows_fn(void *arg, const void *bytes, size_t n,
                          struct nb_errctx *err);

/* Two rows of the source that have the same key, the lower one first. */
struct key_clash {
    uint64_t key;
    uint64_t rows[2];
};

/*
 * Builds the index and gives all rows to `sorted`, in order. The same rows give
 * the same for any number of threads. The caller ends *index with
 * key_index_fini() on success.
 * NB_ERR_INVALID: two rows have the same key, *clash says which;
 * NB_ERR_UNSUPPORTED: keys chosen so that there is no index; -errno;
 * NB_ERR_NOMEM; errors of `sorted`.
 */
int keyed_rows_sort(struct keyed_rows *rows, unsigned threads,
                    keyed_rows_fn *sorted, void *arg, struct key_index *index,
                    struct key_clash *clash, struct nb_errctx *err);

/* Key of a row of the source that was appended. -errno. */
int keyed_rows_key(const struct keyed_rows *rows, uint64_t row, uint64_t *key,
                   struct nb_errctx *err);

#endif
