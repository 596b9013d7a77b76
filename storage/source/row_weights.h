/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A file of weights, such as access counts, one a row: a .npy vector of floats
 * or integers, or a number a line. */
#ifndef NB_STORAGE_ROW_WEIGHTS_H
#define NB_STORAGE_ROW_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

struct row_weights;

/* The caller ends *weights with row_weights_close(). -errno; NB_ERR_SOURCE:
 * malformed; NB_ERR_UNSUPPORTED: a .npy of something else; NB_ERR_NOMEM. */
int row_weights_open(const char *path, struct row_weights **weights,
                     struct nb_errctx *err);

/* Reads the next weights, *n of them; fewer than max only at the end. Errors
 * of row_weights_read(). */
int row_weights_next(struct row_weights *weights, size_t max, double *to,
                     size_t *n, struct nb_errctx *err);

/* Reads the next n weights, each from 0 to 2^64. NB_ERR_SOURCE: one is
 * not, or is no number; NB_ERR_INVALID: there are fewer; -errno. */
int row_weights_read(struct row_weights *weights, size_t n, double *to,
                     struct nb_errctx *err);

/* After the last row: NB_ERR_INVALID if there are more weights than rows, or
 * none was above 0; errors of reading. */
int row_weights_end(struct row_weights *weights, struct nb_errctx *err);

void row_weights_close(struct row_weights *weights); /* NULL is allowed */

#endif
