/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Errors of rows added up. Rows are added to the sums of their block, blocks to
 * the total, both in order: the same doubles on any number of threads, and when
 * a table is evaluated later. */
#ifndef NB_STORAGE_ERROR_SUMS_H
#define NB_STORAGE_ERROR_SUMS_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/table/table_reader.h"

struct error_sums {
    double sq_err;
    double sq_x;
    double max_abs;
};

/* Rows of a block: a function of the dim alone. */
size_t block_rows(uint32_t dim);

void error_sums_add_row(struct error_sums *sums,
                        const struct nb_row_error *row);
void error_sums_add(struct error_sums *sums, const struct error_sums *more);

/* Statistics of n_rows x dim values. */
struct table_stats error_sums_stats(const struct error_sums *sums,
                                    uint64_t n_rows, uint32_t dim);

#endif
