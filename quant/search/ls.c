/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * ls: greedy, then least squares for scale and bias and nearest codes in turn,
 * then the pairs of stored numbers around the result. Never worse than greedy.
 */
#include "quant/search/fit.h"
#include "quant/search/search.h"

static void choose(const struct nb_format *format, const float *x,
                   size_t n_rows, struct affine *chosen)
{
    search_greedy.choose(format, x, n_rows, chosen);
    for (size_t i = 0; i < n_rows; i++) {
        fit_refine(x + i * format->dim, format, &chosen[i]);
    }
}

const struct search search_ls = {.name = "ls", .choose = choose};
