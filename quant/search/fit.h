/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * How well scale and bias fit a row, measured as it will be stored and decoded:
 * code = affine_round((x - bias) / scale), value = scale * code + bias, fp32.
 */
#ifndef NB_QUANT_FIT_H
#define NB_QUANT_FIT_H

#include <stddef.h>

#include "quant/nibble.h"
#include "quant/search/affine.h"

/* Scale and bias before they are rounded to the type stored. */
struct line {
    double scale;
    double bias;
};

/* Sum of squared errors; the same bits as nb_row_error() finds. */
double fit_loss(const float *x, size_t dim, struct affine affine);

/* Alternates nearest codes and least squares from `from` until nothing is
 * gained. *loss: of the least squares line for the codes it ends with. */
struct line fit_alternate(const float *x, size_t dim, struct line from,
                          double *loss);

/*
 * Rounds to what can be stored, searches the neighbourhood, and replaces *best
 * if the result has less loss; returns the loss of *best. Steps: of the pairs
 * around the rounded one that with which the codes of the moment lose least;
 * new codes; again until nothing is gained.
 */
double fit_store(const float *x, const struct nb_format *format,
                 struct line line, struct affine *best);

/* fit_alternate() and fit_store() from *best; never more loss than before. */
double fit_refine(const float *x, const struct nb_format *format,
                  struct affine *best);

#endif
