/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <arm_neon.h>
#include <stdbool.h>

#include "quant/kernel/kernels.h"

static inline bool all_within(const float *x, float32x4_t limit)
{
    uint32x4_t ab = vandq_u32(vcaleq_f32(vld1q_f32(x), limit),
                              vcaleq_f32(vld1q_f32(x + 4), limit));
    uint32x4_t cd = vandq_u32(vcaleq_f32(vld1q_f32(x + 8), limit),
                              vcaleq_f32(vld1q_f32(x + 12), limit));
    return vminvq_u32(vandq_u32(ab, cd)) != 0;
}

void nb_any_over_neon(const float *x, size_t n, float limit, size_t *at)
{
    float32x4_t most = vdupq_n_f32(limit);
    size_t i = 0;
    while (i + 16 <= n && all_within(x + i, most)) {
        i += 16;
    }
    while (i < n && __builtin_fabsf(x[i]) <= limit) {
        i++;
    }
    *at = i;
}
