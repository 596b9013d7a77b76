/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A .npy array at the position of a source, or of what stands in for one.
 * `name` begins messages: a path, or a path and a member. */
#ifndef NB_STORAGE_NPY_READER_H
#define NB_STORAGE_NPY_READER_H

#include "storage/source/matrix_source.h"
#include "storage/source/npy_header.h"
#include "storage/source/source_format.h"

/* Whether the n bytes begin with the magic. */
bool npy_has_magic(const uint8_t *bytes, size_t n);

/* Reads prefix and text. -errno; NB_ERR_SOURCE; NB_ERR_UNSUPPORTED (a newer
 * version); NB_ERR_NOMEM. */
int npy_read_header(struct source *source, source_exact_fn *read_exactly,
                    const char *name, struct npy_header *header,
                    struct nb_errctx *err);

/* The array as a matrix of floats in C order; NB_ERR_UNSUPPORTED says, by name,
 * what else it is. */
int npy_as_matrix(const struct npy_header *header, const char *name,
                  struct matrix_shape *shape, struct nb_errctx *err);

/* The array as axes[0] rows of axes[1] bytes, likewise. */
int npy_as_byte_rows(const struct npy_header *header, const char *name,
                     struct nb_errctx *err);

/* Whether header and a matrix of such items take `bytes` bytes in all;
 * NB_ERR_SOURCE. */
int npy_check_extent(const struct npy_header *header, const char *name,
                     size_t item_bytes, uint64_t bytes, struct nb_errctx *err);

#endif
