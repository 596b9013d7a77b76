/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* 16 columns with AVX-512, for ops_template.h: one register. */
#ifndef NB_QUANT_OPS_UNITS_AVX512_H
#define NB_QUANT_OPS_UNITS_AVX512_H

#include "quant/kernel/q4_avx512.h"

#define OPS_ISA       avx512
#define OPS_UNIT      __m512
#define OPS_MAX_UNITS 8 /* a tile's, all in registers */

Q4_INLINE __m512 ops_zero(void)
{
    return _mm512_setzero_ps();
}

Q4_INLINE __m512 ops_spread(float value)
{
    return _mm512_set1_ps(value);
}

/* 64-byte aligned */
Q4_INLINE __m512 ops_load(const float *from)
{
    return _mm512_load_ps(from);
}

Q4_INLINE void ops_save(float *to, __m512 unit)
{
    _mm512_store_ps(to, unit);
}

Q4_INLINE __m512 ops_add(__m512 a, __m512 b)
{
    return _mm512_add_ps(a, b);
}

Q4_INLINE __m512 ops_divide(__m512 a, __m512 b)
{
    return _mm512_div_ps(a, b);
}

/* maxps */
Q4_INLINE __m512 ops_max(__m512 a, __m512 b)
{
    return _mm512_max_ps(a, b);
}

#endif
