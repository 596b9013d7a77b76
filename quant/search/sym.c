/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* sym: the greatest magnitude of the row on either side of 0. */
#include "quant/search/search.h"
#include "quant/search/symmetric.h"

static void choose(const struct nb_format *format, const float *x,
                   size_t n_rows, struct affine *chosen)
{
    for (size_t i = 0; i < n_rows; i++, x += format->dim) {
        float max = row_max_abs(x, format->dim);
        chosen[i] = symmetric_affine((double)max, format->scales);
    }
}

const struct search search_sym = {.name = "sym", .choose = choose};
