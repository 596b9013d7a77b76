/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <immintrin.h>

#include "quant/kernel/kernels.h"

#define LANES 4

/* Low 64 bits of the products, of three of 32 by 32 bits. */
static inline __m256i multiply(__m256i a, __m256i b)
{
    __m256i cross =
        _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), b),
                         _mm256_mul_epu32(a, _mm256_srli_epi64(b, 32)));
    return _mm256_add_epi64(_mm256_mul_epu32(a, b),
                            _mm256_slli_epi64(cross, 32));
}

static inline __m256i load_ids(const struct kernel_ids *ids, size_t i)
{
    if (ids->u64 != NULL) {
        return _mm256_loadu_si256((const void *)(ids->u64 + i));
    }
    return _mm256_cvtepu32_epi64(_mm_loadu_si128((const void *)(ids->u32 + i)));
}

void nb_locate_avx2(const struct kernel_ids *ids)
{
    const __m256i base = _mm256_set1_epi64x((long long)ids->base);
    const __m256i stride = _mm256_set1_epi64x((long long)ids->stride);
    const __m256i absent =
        _mm256_set1_epi64x((long long)(uintptr_t)ids->absent);
    /* Compared as signed numbers, less 2^63. */
    const __m256i top = _mm256_set1_epi64x(INT64_MIN);
    const __m256i n_rows =
        _mm256_xor_si256(top, _mm256_set1_epi64x((long long)ids->n_rows));
    uint64_t seen = 0;
    size_t i = 0;

    for (; i + LANES <= ids->n; i += LANES) {
        __m256i id = load_ids(ids, i);
        __m256i here = _mm256_cmpgt_epi64(n_rows, _mm256_xor_si256(id, top));
        __m256i row = _mm256_add_epi64(base, multiply(id, stride));
        _mm256_storeu_si256((void *)(ids->at + i),
                            _mm256_blendv_epi8(absent, row, here));
        seen += (unsigned)__builtin_popcount(
            (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(here)));
    }
    uint64_t unseen;
    struct kernel_ids rest = *ids;
    rest.u64 = ids->u64 != NULL ? ids->u64 + i : NULL;
    rest.u32 = ids->u32 != NULL ? ids->u32 + i : NULL;
    rest.n = ids->n - i;
    rest.at = ids->at + i;
    rest.unseen = &unseen;
    nb_locate_scalar(&rest);
    *ids->unseen = i - seen + unseen;
}
