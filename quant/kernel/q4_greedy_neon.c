/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/kernel/lanes_neon.h"

#include "quant/kernel/greedy_template.h"

void nb_q4_greedy_neon(const struct nb_format *format, const float *x,
                       size_t n_rows, struct affine *chosen)
{
    greedy_rows(format, x, n_rows, chosen);
}
