/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* 16 columns with AVX2, for ops_template.h: two registers. */
#ifndef NB_QUANT_OPS_UNITS_AVX2_H
#define NB_QUANT_OPS_UNITS_AVX2_H

#include "quant/kernel/q4_avx2.h"

#define OPS_ISA       avx2
#define OPS_UNIT      struct q4_pair
#define OPS_MAX_UNITS 4 /* a tile's, all in registers */

Q4_INLINE struct q4_pair ops_zero(void)
{
    return (struct q4_pair){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

Q4_INLINE struct q4_pair ops_spread(float value)
{
    return (struct q4_pair){_mm256_set1_ps(value), _mm256_set1_ps(value)};
}

/* 32-byte aligned */
Q4_INLINE struct q4_pair ops_load(const float *from)
{
    return (struct q4_pair){_mm256_load_ps(from), _mm256_load_ps(from + 8)};
}

Q4_INLINE void ops_save(float *to, struct q4_pair unit)
{
    _mm256_store_ps(to, unit.even);
    _mm256_store_ps(to + 8, unit.odd);
}

Q4_INLINE struct q4_pair ops_add(struct q4_pair a, struct q4_pair b)
{
    return (struct q4_pair){_mm256_add_ps(a.even, b.even),
                            _mm256_add_ps(a.odd, b.odd)};
}

Q4_INLINE struct q4_pair ops_divide(struct q4_pair a, struct q4_pair b)
{
    return (struct q4_pair){_mm256_div_ps(a.even, b.even),
                            _mm256_div_ps(a.odd, b.odd)};
}

/* maxps */
Q4_INLINE struct q4_pair ops_max(struct q4_pair a, struct q4_pair b)
{
    return (struct q4_pair){_mm256_max_ps(a.even, b.even),
                            _mm256_max_ps(a.odd, b.odd)};
}

#endif
