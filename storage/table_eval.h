/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Compares a table with the vectors it was made from. */
#ifndef NB_STORAGE_TABLE_EVAL_H
#define NB_STORAGE_TABLE_EVAL_H

#include <stdint.h>

#include "storage/source.h"
#include "storage/table_builder.h"
#include "storage/table_reader.h"

#define EVAL_WORST_ROWS 10

struct eval_report {
    uint64_t n_rows;
    struct table_stats stats;
    double cosine_mean;    /* of rows with non-zero x and y */
    double bits_per_value; /* of the file */
    double compression;    /* fp32 bytes over file bytes */
    unsigned n_worst;
    struct {
        uint64_t row;
        double rel_err;       /* ||x - y|| / ||x|| */
    } worst[EVAL_WORST_ROWS]; /* descending, ties by row */
};

/* Reads `source` from its current position to its end. NB_ERR_INVALID if dim
 * or rows differ, naming both; errors of the source; NB_ERR_NOMEM. A NaN or
 * Inf in the source counts as 0, as NAN_ZERO stored it. */
int table_eval(const struct table *table, struct source *source,
               progress_fn *progress, void *progress_arg,
               struct eval_report *report, struct nb_errctx *err);

#endif
