/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/bench/layouts_avx512.h"

#include <immintrin.h>
#include <stdbool.h>

#include "quant/bytes.h"

#define AHEAD 32

#define LAYOUT_INLINE static inline __attribute__((always_inline))

/* 32 columns from 16 bytes. */
LAYOUT_INLINE void add_block(const uint8_t *codes, __m512 table,
                             const enum layout layout, __m512 sums[2])
{
    __m512i index[2];
    if (layout == LAYOUT_LOW_FIRST) {
        index[0] = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)codes));
        index[1] = _mm512_srli_epi32(index[0], 4);
    } else {
        const __m512i shifts = _mm512_setr_epi64(0, 4, 8, 12, 16, 20, 24, 28);
        for (unsigned i = 0; i < 2; i++) {
            long long eight = (long long)get_u64(codes + (size_t)8 * i);
            index[i] = _mm512_srlv_epi64(_mm512_set1_epi64(eight), shifts);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        sums[i] =
            _mm512_add_ps(sums[i], _mm512_permutexvar_ps(index[i], table));
    }
}

LAYOUT_INLINE void add_row(const uint8_t *row, const unsigned blocks,
                           const enum layout layout, __m512 *sums)
{
    bool first = layout == LAYOUT_PARAMS_FIRST;
    const uint8_t *params = first ? row : row + (size_t)blocks * 16;
    const uint8_t *codes = first ? row + 4 : row;
    __m128 p = _mm_cvtph_ps(_mm_cvtsi32_si128((int)get_u32(params)));
    __m512 table = _mm512_fmadd_ps(
        _mm512_broadcastss_ps(p),
        _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        _mm512_broadcastss_ps(_mm_movehdup_ps(p)));
#pragma GCC unroll 4
    for (unsigned b = 0; b < blocks; b++) {
        add_block(codes + (size_t)b * 16, table, layout, sums + (size_t)2 * b);
    }
}

LAYOUT_INLINE void prefetch(const struct layout_job *job, size_t i, size_t n,
                            const size_t row_bytes)
{
    const uint8_t *row =
        job->base + job->ids[i + AHEAD < n ? i + AHEAD : n - 1] * job->stride;
    if (job->stages != STAGES_NO_PREFETCH) {
        __builtin_prefetch(row);
    }
    if (job->stages == STAGES_ALL) {
        __builtin_prefetch(row + row_bytes - 1);
    }
}

LAYOUT_INLINE void pool(const struct layout_job *job, const unsigned blocks,
                        const enum layout layout, float *out)
{
    size_t n = job->n_bags * job->bag;
    size_t i = 0;

    for (size_t b = 0; b < job->n_bags; b++) {
        __m512 sums[8];
#pragma GCC unroll 8
        for (unsigned k = 0; k < 2 * blocks; k++) {
            sums[k] = _mm512_setzero_ps();
        }
        for (size_t end = i + job->bag; i < end; i++) {
            prefetch(job, i, n, (size_t)blocks * 16 + 4);
            add_row(job->base + job->ids[i] * job->stride, blocks, layout,
                    sums);
        }
#pragma GCC unroll 8
        for (unsigned k = 0; k < 2 * blocks; k++) {
            _mm512_storeu_ps(out + (size_t)16 * k, sums[k]);
        }
        out += (size_t)32 * blocks;
    }
}

LAYOUT_INLINE void pool_layout(const struct layout_job *job,
                               const unsigned blocks, float *out)
{
    switch (job->layout) {
    case LAYOUT_Q4:
        pool(job, blocks, LAYOUT_Q4, out);
        break;
    case LAYOUT_PARAMS_FIRST:
        pool(job, blocks, LAYOUT_PARAMS_FIRST, out);
        break;
    case LAYOUT_LOW_FIRST:
        pool(job, blocks, LAYOUT_LOW_FIRST, out);
        break;
    }
}

void layout_pool_avx512(const struct layout_job *job, float *out)
{
    if (job->dim == 64) {
        pool_layout(job, 2, out);
    } else {
        pool_layout(job, 4, out);
    }
}
