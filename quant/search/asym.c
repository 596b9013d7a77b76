/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* asym: the row's least and greatest value. */
#include "quant/codec/codec.h"
#include "quant/kernel/kernels.h"
#include "quant/search/minmax.h"
#include "quant/search/search.h"

void nb_q4_asym_scalar(const struct nb_format *format, const float *x,
                       size_t n_rows, struct affine *chosen)
{
    for (size_t i = 0; i < n_rows; i++, x += format->dim) {
        struct minmax range = row_minmax(x, format->dim);
        chosen[i] = affine_of_range(range.min, range.max, format->scales);
    }
}

static void choose(const struct nb_format *format, const float *x,
                   size_t n_rows, struct affine *chosen)
{
    KERNEL_CALL(asym, q4, format, x, n_rows, chosen);
}

const struct search search_asym = {.name = "asym", .choose = choose};
