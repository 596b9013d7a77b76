/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * What quantizing does to pooled bags: bags of ids drawn from a fixed seed,
 * their sums in double precision over the original rows, and how far the sums
 * that nb_pool() makes of a table are from those. The rows are shown once, in
 * order; memory does not grow with the table.
 */
#ifndef NB_STORAGE_BAG_PROBE_H
#define NB_STORAGE_BAG_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

#define BAG_SIZES 3
extern const uint32_t BAG_IDS[BAG_SIZES]; /* 1, 20, 100 */

struct bag_probe;

/* Relative l2: the root of the squared errors' sum over the squares' sum, over
 * all bags of a size; 0 if all sums are 0. */
struct bag_errors {
    double nl2[BAG_SIZES];
};

/* Draws bags of ids below n_rows, n_rows > 0: all alike likely, or in
 * proportion to the n_rows `weights` (at least one above 0, none below).
 * The caller ends *probe with bag_probe_destroy(). NB_ERR_NOMEM. */
int bag_probe_create(uint64_t n_rows, uint32_t dim, const double *weights,
                     struct bag_probe **probe, struct nb_errctx *err);

/* Shows the next n_rows rows of finite values, and the ids they have in a keyed
 * table (NULL: their numbers). */
void bag_probe_show(struct bag_probe *probe, const float *values,
                    const uint64_t *ids, size_t n_rows);

/* Pools the bags from encoded rows, all n_rows of them, once all rows have been
 * shown. Errors of nb_pool(). May be called for several tables. */
int bag_probe_measure(const struct bag_probe *probe, const struct nb_rows *rows,
                      struct bag_errors *errors);

/* Bags of each size: a function of the dim alone. */
size_t bag_probe_bags(uint32_t dim);

void bag_probe_destroy(struct bag_probe *probe); /* NULL is allowed */

#endif
