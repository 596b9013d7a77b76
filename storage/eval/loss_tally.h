/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What rows lost, from their errors, added in the order of rows: the same
 * numbers whoever measured the rows, and those of the builder where it says
 * them too. Of fixed size, whatever the number of rows. */
#ifndef NB_STORAGE_LOSS_TALLY_H
#define NB_STORAGE_LOSS_TALLY_H

#include <stdint.h>

#include "quant/nibble.h"
#include "storage/eval/cosine_bins.h"
#include "storage/builder/error_sums.h"
#include "storage/table/table_reader.h"

#define LOSS_WORST_ROWS 10

struct worst_row {
    uint64_t row;
    double rel_err; /* ||x - y|| / ||x|| */
};

struct losses {
    uint64_t n_rows;
    struct table_stats stats;
    double cosine_mean; /* of rows with non-zero x and y; 0 without any */
    double cosine_p1;   /* 1 % of these are at most this; see cosine_bins.h */
    unsigned n_worst;
    struct worst_row worst[LOSS_WORST_ROWS]; /* descending, ties by row */
};

/* To be zeroed. */
struct loss_tally {
    struct error_sums sums;
    struct error_sums block; /* rows since the last end of a block */
    double weight;           /* of all rows */
    double cosine_sum;
    struct cosine_bins cosines;
    uint64_t n_rows;
    unsigned n_worst;
    struct worst_row worst[LOSS_WORST_ROWS];
};

/* Adds row number `row`, which counts `weight` times in all but the greatest
 * error and the list of worst rows; 1 adds it as the builder does. */
void loss_tally_add(struct loss_tally *tally, uint64_t row, double weight,
                    const struct nb_row_error *error);

/* To be called after every block_rows() rows, and the last one. */
void loss_tally_end_block(struct loss_tally *tally);

struct losses loss_tally_losses(const struct loss_tally *tally, uint32_t dim);

#endif
