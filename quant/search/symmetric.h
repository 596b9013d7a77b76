/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Ranges around 0: [-alpha, alpha]. */
#ifndef NB_QUANT_SYMMETRIC_H
#define NB_QUANT_SYMMETRIC_H

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "quant/search/affine.h"

static inline float row_max_abs(const float *x, size_t dim)
{
    float max = 0;
    for (size_t i = 0; i < dim; i++) {
        max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    }
    return max;
}

/* Of the widest range that can be stored, if alpha is beyond. */
static inline struct affine symmetric_affine(double alpha, uint32_t scales)
{
    double most = scales == NB_SCALES_FP16 ? 65504.0 : (double)FLT_MAX / 4;
    float end = (float)(alpha < most ? alpha : most);
    return affine_of_range(-end, end, scales);
}

#endif
