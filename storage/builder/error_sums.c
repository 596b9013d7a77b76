/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/builder/error_sums.h"

#include <math.h>

/* 512 KiB of fp32: work for a thread, and still in its cache. */
#define BLOCK_VALUES   131072u
#define BLOCK_ROWS_MAX 4096u

size_t block_rows(uint32_t dim)
{
    size_t rows = BLOCK_VALUES / dim;
    if (rows > BLOCK_ROWS_MAX) {
        return BLOCK_ROWS_MAX;
    }
    return rows > 0 ? rows : 1;
}

void error_sums_add_row(struct error_sums *sums, const struct nb_row_error *row)
{
    sums->sq_err += row->sq_err;
    sums->sq_x += row->sq_x;
    sums->max_abs = fmax(sums->max_abs, row->max_abs);
}

void error_sums_add(struct error_sums *sums, const struct error_sums *more)
{
    sums->sq_err += more->sq_err;
    sums->sq_x += more->sq_x;
    sums->max_abs = fmax(sums->max_abs, more->max_abs);
}

struct table_stats error_sums_stats(const struct error_sums *sums,
                                    uint64_t n_rows, uint32_t dim)
{
    return (struct table_stats){
        .nl2 = sums->sq_x > 0 ? sqrt(sums->sq_err / sums->sq_x) : 0,
        .mse = sums->sq_err / ((double)n_rows * dim),
        .max_abs = sums->max_abs,
    };
}
