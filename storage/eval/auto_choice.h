/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Chooses how to store a table: first what to do with columns, then every
 * candidate within a budget of bytes is tried on the same few rows, the best of
 * them and the baseline on all, and the one of least loss is taken; of those
 * within 0.2 % of it the one of fewest bytes. The same sample gives the same
 * choice; clocks have no say in it. */
#ifndef NB_STORAGE_AUTO_CHOICE_H
#define NB_STORAGE_AUTO_CHOICE_H

#include <stddef.h>

#include "storage/eval/comparison.h"
#include "storage/table/table_metadata.h"

enum auto_objective {
    AUTO_MSE,   /* normalized l2 loss of rows: the order of their MSE */
    AUTO_POOLED /* relative l2 error of sums of 20 ids */
};

/* Name of an objective, for listing; NULL past the end. */
const char *auto_objective_at(size_t i);

struct auto_options {
    const struct row_sample *sample;
    enum auto_objective objective;
    double max_bytes_per_value; /* 0: what rows of candidate_baseline() take,
                                 * and 2 % for what they share */
    unsigned threads;
    progress_fn *progress; /* may be NULL */
    void *progress_arg;
};

struct auto_choice {
    struct candidate_list list; /* all whose rows are within the budget */
    struct compared *lines;     /* one a candidate; n_rows tells the round */
    size_t chosen;              /* index of both */
    struct table_choice record;
};

/* Rows a sample should have: fewer than row_sample_rows(), for slow candidates
 * may be tried on all. */
size_t auto_sample_rows(uint32_t dim);

/* The loss is never more than the baseline's where that is within the budget.
 * The caller ends *choice with auto_choice_fini(). NB_ERR_INVALID: nothing is
 * within the budget; errors of comparison_run(). */
int auto_choose(const struct auto_options *options, struct auto_choice *choice,
                struct nb_errctx *err);

void auto_choice_fini(struct auto_choice *choice);

#endif
