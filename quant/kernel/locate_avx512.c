/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <immintrin.h>

#include "quant/kernel/kernels.h"

#define LANES 8

struct table {
    __m512i base;
    __m512i stride;
    __m512i n_rows;
    __m512i absent;
    bool narrow; /* ids of rows and the stride fit 32 bits */
};

/* As many ids as the mask has; returns how many are in the table. */
static inline unsigned locate(const struct table *table, __m512i id,
                              __mmask8 mask, const uint8_t **at)
{
    __mmask8 here = _mm512_mask_cmplt_epu64_mask(mask, id, table->n_rows);
    __m512i offset = table->narrow ? _mm512_mul_epu32(id, table->stride)
                                   : _mm512_mullo_epi64(id, table->stride);
    __m512i row =
        _mm512_mask_add_epi64(table->absent, here, table->base, offset);
    _mm512_mask_storeu_epi64((void *)at, mask, row);
    return (unsigned)__builtin_popcount(here);
}

static uint64_t locate_u64(const struct table *table, const uint64_t *ids,
                           size_t n, const uint8_t **at)
{
    uint64_t seen = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        seen += locate(table, _mm512_loadu_si512(ids + i), 0xff, at + i);
    }
    __mmask8 mask = (__mmask8)((1u << (n - i)) - 1);
    return seen +
           locate(table, _mm512_maskz_loadu_epi64(mask, ids + i), mask, at + i);
}

static uint64_t locate_u32(const struct table *table, const uint32_t *ids,
                           size_t n, const uint8_t **at)
{
    uint64_t seen = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        __m256i id = _mm256_loadu_si256((const void *)(ids + i));
        seen += locate(table, _mm512_cvtepu32_epi64(id), 0xff, at + i);
    }
    __mmask8 mask = (__mmask8)((1u << (n - i)) - 1);
    __m256i id = _mm256_maskz_loadu_epi32(mask, ids + i);
    return seen + locate(table, _mm512_cvtepu32_epi64(id), mask, at + i);
}

void nb_locate_avx512(const struct kernel_ids *ids)
{
    const struct table table = {
        _mm512_set1_epi64((long long)ids->base),
        _mm512_set1_epi64((long long)ids->stride),
        _mm512_set1_epi64((long long)ids->n_rows),
        _mm512_set1_epi64((long long)(uintptr_t)ids->absent),
        ids->n_rows <= UINT32_MAX && ids->stride <= UINT32_MAX,
    };
    uint64_t seen = ids->u64 != NULL
                        ? locate_u64(&table, ids->u64, ids->n, ids->at)
                        : locate_u32(&table, ids->u32, ids->n, ids->at);
    *ids->unseen = ids->n - seen;
}
