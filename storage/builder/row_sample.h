/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * A bounded sample of a source's rows, or all of them where they fit. The same
 * source gives the same sample.
 *
 * Priority sampling: row i has the priority weight / u, where u in (0, 1) is a
 * hash of i, and the rows of the greatest priorities are taken. Each then
 * stands for max(weight, the greatest priority left out), which makes sums over
 * the sample unbiased estimates of sums over the source. Without weights that
 * is a uniform sample of rows alike.
 */
#ifndef NB_STORAGE_ROW_SAMPLE_H
#define NB_STORAGE_ROW_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "storage/source/row_weights.h"
#include "storage/source/source.h"
#include "storage/builder/table_builder.h"

struct row_sample {
    float *values;   /* n x dim, finite */
    uint64_t *rows;  /* their numbers, ascending */
    float *extremes; /* least of each column of the source, then greatest */
    double *weight;  /* what each stands for; NULL: all for the same */
    size_t n;
    uint32_t dim;
    uint64_t n_source;    /* rows of the source */
    uint64_t n_nonfinite; /* values of the source that count as 0 */
};

/* What to read. A plain parameter struct. */
struct sample_options {
    struct source *source;       /* read from where it is to its end */
    struct row_weights *weights; /* NULL: none */
    size_t max_rows;             /* 0: row_sample_rows() */
    progress_fn *progress;       /* may be NULL */
    void *progress_arg;
};

/* Rows a sample has by default: 16 MiB of values. */
size_t row_sample_rows(uint32_t dim);

/* The caller ends *sample with row_sample_fini() on success. Errors of the
 * source and the weights; NB_ERR_SOURCE: no rows; NB_ERR_NOMEM. */
int row_sample_take(const struct sample_options *options,
                    struct row_sample *sample, struct nb_errctx *err);

/* Parts a sample in two, of every other row each, so that what is trained on
 * one can be measured on the other; sample->n > 1. The caller ends both with
 * row_sample_fini(). NB_ERR_NOMEM. */
int row_sample_split(const struct row_sample *sample, struct row_sample *first,
                     struct row_sample *second, struct nb_errctx *err);

void row_sample_fini(struct row_sample *sample);

#endif
