/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Which rows of a table are protected: those of the greatest weights. */
#ifndef NB_STORAGE_ROW_PROTECTION_H
#define NB_STORAGE_ROW_PROTECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

/* All zeros: none. */
struct row_protection {
    struct nb_protected_block *blocks; /* owned */
    uint64_t n_rows;                   /* weights there were */
    uint64_t n;                        /* protected rows */
};

/*
 * Takes the fraction of the rows (above 0, at most 1; to the nearest row, one
 * at least) that have the greatest weights in the file of row_weights.h; of
 * equal weights the first. Reads the file five times, in memory of 1.14 bits a
 * row. The caller ends *protection with row_protection_fini() on success.
 * Errors of row_weights.h, NB_ERR_INVALID if there are none, and NB_ERR_SOURCE
 * if the file is seen to change.
 */
int row_protection_select(const char *path, double fraction,
                          struct row_protection *protection,
                          struct nb_errctx *err);

/* row < n_rows */
static inline bool row_protection_has(const struct row_protection *protection,
                                      uint64_t row)
{
    const struct nb_protected_block *block =
        &protection->blocks[row / NB_PROTECTED_ROWS];
    uint64_t bit = row % NB_PROTECTED_ROWS;
    return (block->bits[bit / 64] >> (bit % 64) & 1u) != 0;
}

void row_protection_fini(struct row_protection *protection);

#endif
