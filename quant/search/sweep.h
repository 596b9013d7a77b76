/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The line of least squared error for a short row, over all scales and
 * biases. */
#ifndef NB_QUANT_SWEEP_H
#define NB_QUANT_SWEEP_H

#include <stddef.h>

#include "quant/search/fit.h"

#define SWEEP_DIM_MAX 32

/* Of a row of 2..SWEEP_DIM_MAX values, not all equal. `loss` is one that some
 * line is known to reach: only what may reach it too is looked at. */
struct line sweep_row(const float *x, size_t dim, double loss);

#endif
