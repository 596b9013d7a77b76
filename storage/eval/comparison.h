/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Candidates side by side on the rows of a sample. */
#ifndef NB_STORAGE_COMPARISON_H
#define NB_STORAGE_COMPARISON_H

#include <stddef.h>
#include <stdint.h>

#include "storage/eval/candidate.h"
#include "storage/builder/row_sample.h"
#include "storage/eval/trial.h"

/* One candidate's line. */
struct compared {
    struct candidate candidate; /* with the scales it was tried with */
    int rv; /* NB_ERR_OVERFLOW: no scales hold the values, and there is no
             * result */
    struct trial_result result;
    size_t n_rows;                   /* of the sample that it was tried on */
    double baseline;                 /* nl2 of candidate_baseline() on these */
    struct bag_errors baseline_bags; /* likewise */
};

struct comparison {
    const struct row_sample *sample;
    const struct candidate_list *list;
    double budget_seconds;       /* of encoding a candidate may take; see below.
                                  * INFINITY: all rows, whatever it takes */
    size_t max_rows;             /* to try on; 0: all */
    struct table_params *params; /* one a candidate, owned by the caller: what
                                  * is there is used, what is not is trained and
                                  * left there. NULL: trained and forgotten */
    unsigned threads;
    progress_fn *progress; /* may be NULL */
    void *progress_arg;
};

#define COMPARISON_ROWS_LEAST 64u /* unless the sample has fewer */

/*
 * Tries each of the list; lines[i] is of list->items[i]. A candidate too slow
 * for the budget is tried on a half, a quarter... of the rows, spread evenly;
 * so is every one where they are more than max_rows.
 * One whose scales do not hold all values of the source is tried with the other
 * type, where it has one. If the sample is not the whole source, half of it is
 * trained on and the other half tried on. Errors of trial_run().
 */
int comparison_run(const struct comparison *comparison, struct compared *lines,
                   struct nb_errctx *err);

#endif
