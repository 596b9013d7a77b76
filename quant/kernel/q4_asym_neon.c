/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/kernel/lanes_neon.h"

#include "quant/kernel/kernels.h"
#include "quant/kernel/lanes_rows_template.h"

void nb_q4_asym_neon(const struct nb_format *format, const float *x,
                     size_t n_rows, struct affine *chosen)
{
    asym_rows(format, x, n_rows, chosen);
}
