/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Tries candidates on rows in memory: trains, encodes, decodes, pools and
 * measures. */
#ifndef NB_STORAGE_TRIAL_H
#define NB_STORAGE_TRIAL_H

#include <stddef.h>
#include <stdint.h>

#include "storage/eval/bag_probe.h"
#include "storage/eval/candidate.h"
#include "storage/eval/loss_tally.h"
#include "storage/builder/row_sample.h"
#include "storage/table/table_params.h"

struct trial_rows; /* that candidates are tried on */

struct trial_result {
    size_t row_bytes;
    size_t table_bytes;     /* of parameters that all rows share */
    struct losses losses;   /* row numbers are those of the source */
    struct bag_errors bags; /* ids drawn in proportion to the weights */
    double encode_seconds;  /* a row, on one core */
    double decode_seconds;  /* likewise, in order, to fp32 */
};

/* Takes n rows of the sample, spread evenly over it, n <= sample->n. The sample
 * is borrowed; the caller ends *rows with trial_rows_destroy(). NB_ERR_NOMEM.
 */
int trial_rows_create(const struct row_sample *sample, size_t n,
                      struct trial_rows **rows, struct nb_errctx *err);

void trial_rows_destroy(struct trial_rows *rows); /* NULL is allowed */

size_t trial_rows_n(const struct trial_rows *rows);

/* Takes the candidate's other scales if those it has do not hold all values of
 * the source, and trains its parameters on the sample. The caller ends *params
 * with table_params_fini() on success. NB_ERR_OVERFLOW: no scales hold them;
 * NB_ERR_NOMEM. */
int trial_train(struct candidate *candidate, const struct row_sample *sample,
                struct table_params *params);

/* The same results, but for the times, on any number of threads. NB_ERR_NOMEM;
 * errors of nb_encode(). */
int trial_run(const struct trial_rows *rows, const struct candidate *candidate,
              const struct nb_params *params, unsigned threads,
              struct trial_result *result, struct nb_errctx *err);

#endif
