/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/bench/port_avx512.h"

#include <immintrin.h>

#include "quant/bytes.h"

#define AHEAD 16

#define PORT_INLINE static inline __attribute__((always_inline))

PORT_INLINE __m512 broadcast_half(const uint8_t *at)
{
    return _mm512_cvtph_ps(_mm256_set1_epi16((short)get_u16(at)));
}

/* A byte for each code of 32 bytes (or 16, for dim 32), in order. */
PORT_INLINE __m512i spread(const uint8_t *codes, const unsigned vectors)
{
    __m256i bytes =
        vectors >= 4 ? _mm256_loadu_si256((const __m256i *)(const void *)codes)
                     : _mm256_castsi128_si256(_mm_loadu_si128(
                           (const __m128i *)(const void *)codes));
    __m512i words = _mm512_cvtepu8_epi16(bytes);
    __m512i both = _mm512_or_si512(words, _mm512_slli_epi32(words, 4));
    return _mm512_and_si512(both, _mm512_set1_epi16(0x0f0f));
}

PORT_INLINE __m512 accumulate(__m512 sum, __m128i codes, __m512 scale,
                              __m512 bias)
{
    __m512 q = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes));
    return _mm512_fmadd_ps(scale, q, _mm512_add_ps(sum, bias));
}

PORT_INLINE void add_row(const uint8_t *row, const unsigned vectors,
                         __m512 *sums)
{
    const uint8_t *params = row + (size_t)vectors * 8;
    __m512 scale = broadcast_half(params);
    __m512 bias = broadcast_half(params + 2);

#pragma GCC unroll 4
    for (unsigned v = 0; v < vectors; v += 4) {
        __m512i codes = spread(row + (size_t)v * 8, vectors);
        sums[v] =
            accumulate(sums[v], _mm512_castsi512_si128(codes), scale, bias);
        sums[v + 1] = accumulate(
            sums[v + 1], _mm512_extracti32x4_epi32(codes, 1), scale, bias);
        if (vectors >= 4) {
            sums[v + 2] = accumulate(
                sums[v + 2], _mm512_extracti32x4_epi32(codes, 2), scale, bias);
            sums[v + 3] = accumulate(
                sums[v + 3], _mm512_extracti32x4_epi32(codes, 3), scale, bias);
        }
    }
}

PORT_INLINE void prefetch_row(const uint8_t *row, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64) {
        __builtin_prefetch(row + at);
    }
}

PORT_INLINE bool pool(const struct nb_rows *rows, const struct nb_pool *request,
                      float *out, const unsigned vectors)
{
    const uint8_t *base = rows->base;
    const uint64_t *ids = request->ids.u64;
    const uint64_t *end = ids + request->ids.n;

    for (size_t b = 0; b < request->n_bags; b++) {
        __m512 sums[16];
#pragma GCC unroll 16
        for (unsigned v = 0; v < vectors; v++) {
            sums[v] = _mm512_setzero_ps();
        }
        for (uint32_t i = 0; i < request->lengths[b]; i++, ids++) {
            if (*ids >= rows->n_rows) {
                return false;
            }
            uint64_t ahead = ids + AHEAD < end ? ids[AHEAD] : *ids;
            if (ahead >= rows->n_rows) {
                ahead = *ids;
            }
            prefetch_row(base + ahead * rows->stride, (size_t)vectors * 8 + 4);
            add_row(base + *ids * rows->stride, vectors, sums);
        }
#pragma GCC unroll 16
        for (unsigned v = 0; v < vectors; v++) {
            _mm512_storeu_ps(out + (size_t)16 * v, sums[v]);
        }
        out += (size_t)16 * vectors;
    }
    return true;
}

bool port_pool(const struct nb_rows *rows, const struct nb_pool *request,
               float *out)
{
    switch (rows->format.dim) {
    case 32:
        return pool(rows, request, out, 2);
    case 64:
        return pool(rows, request, out, 4);
    case 128:
        return pool(rows, request, out, 8);
    case 256:
        return pool(rows, request, out, 16);
    default:
        return false;
    }
}
