/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Compares a table with the vectors it was made from. */
#ifndef NB_STORAGE_TABLE_EVAL_H
#define NB_STORAGE_TABLE_EVAL_H

#include <stdint.h>

#include "storage/eval/bag_probe.h"
#include "storage/eval/loss_tally.h"
#include "storage/source/row_keys.h"
#include "storage/source/source.h"
#include "storage/builder/table_builder.h"
#include "storage/table/table_reader.h"

struct eval_report {
    struct losses losses;
    struct bag_errors bags;
    size_t n_bags;         /* of each size */
    double bits_per_value; /* of the file */
    double compression;    /* fp32 bytes over file bytes */
    double decode_seconds; /* for all rows, in order, to fp32, on one core */
};

/* Reads `source` from its current position to its end. Rows of a keyed table
 * are found by `keys`, or where that is NULL by the words of the source.
 * NB_ERR_INVALID if dim or rows differ, naming both, a row's key is not in the
 * table, or keys are missing or without use; errors of source and keys;
 * NB_ERR_NOMEM. A NaN or Inf in the source counts as 0, as NAN_ZERO stored it.
 */
int table_eval(const struct table *table, struct source *source,
               struct row_keys *keys, progress_fn *progress, void *progress_arg,
               struct eval_report *report, struct nb_errctx *err);

#endif
