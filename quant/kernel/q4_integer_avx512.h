/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Exact sums of scale times code over the rows of a block, with AVX-512. Bytes
 * of four rows are brought side by side, and vpdpbusd multiplies them with four
 * bytes of the scales (a digit each) and adds the products up. Two sums are
 * kept, of the low nibbles and of whole bytes, low + 16 high: no shifting.
 *
 * A vector holds 64 bytes of one row, 32 bytes of two, or 16 bytes of four:
 * one, two or four strands. Strands are bags of their own, or parts of one bag,
 * which are added up in the end.
 */
#ifndef NB_QUANT_Q4_INTEGER_AVX512_H
#define NB_QUANT_Q4_INTEGER_AVX512_H

#include "quant/kernel/q4_avx512.h"
#include "quant/kernel/q4_block.h"

#define VECTOR_COLUMNS 128

/* Constants where it is used, but for the mask. */
struct tile_shape {
    unsigned strands;     /* 1, 2 or 4 */
    bool together;        /* the strands are of one bag */
    unsigned first_digit; /* 1 if digits 0 are all 0 */
    bool masked;          /* the tile is cut by the end of the row */
    __mmask64 mask;       /* of a row's bytes; all if not masked */
};

/* Rows that go to one part of the vectors, four at a time. */
struct strand {
    const uint8_t *const *rows;
    const struct q4_digits *digits;
    size_t n;
    int exponent;
};

/* Of a digit, or of several: for bytes 4k to 4k + 3 of each 16. */
struct integer_sums {
    __m512i low[4];
    __m512i byte[4];
};

Q4_INLINE __m256i load_32(const uint8_t *from, const struct tile_shape shape)
{
    return shape.masked ? _mm256_maskz_loadu_epi8((__mmask32)shape.mask, from)
                        : _mm256_loadu_si256((const void *)from);
}

Q4_INLINE __m128i load_16(const uint8_t *from, const struct tile_shape shape)
{
    return shape.masked ? _mm_maskz_loadu_epi8((__mmask16)shape.mask, from)
                        : _mm_loadu_si128((const void *)from);
}

/* Row i of the next four of each strand. */
Q4_INLINE __m512i load_rows(const struct strand *strands, size_t i, size_t at,
                            const struct tile_shape shape)
{
    if (shape.strands == 1) {
        const uint8_t *from = strands[0].rows[i] + at;
        return shape.masked ? _mm512_maskz_loadu_epi8(shape.mask, from)
                            : _mm512_loadu_si512(from);
    }
    if (shape.strands == 2) {
        return _mm512_inserti64x4(
            _mm512_castsi256_si512(load_32(strands[0].rows[i] + at, shape)),
            load_32(strands[1].rows[i] + at, shape), 1);
    }
    __m512i all =
        _mm512_castsi128_si512(load_16(strands[0].rows[i] + at, shape));
    all = _mm512_inserti32x4(all, load_16(strands[1].rows[i] + at, shape), 1);
    all = _mm512_inserti32x4(all, load_16(strands[2].rows[i] + at, shape), 2);
    return _mm512_inserti32x4(all, load_16(strands[3].rows[i] + at, shape), 3);
}

/* One value a strand, to all of its lanes. */
Q4_INLINE __m512i spread(const uint32_t *const *values, const unsigned strands)
{
    __m512i all = _mm512_set1_epi32((int)*values[0]);
    if (strands == 2) {
        q4_put_lanes(&all, 0xff00, values[1]);
    }
    if (strands == 4) {
        q4_put_lanes(&all, 0x00f0, values[1]);
        q4_put_lanes(&all, 0x0f00, values[2]);
        q4_put_lanes(&all, 0xf000, values[3]);
    }
    return all;
}

/* sum += codes . weights, four bytes a lane. An intrinsic would be copied about
 * by the compiler, which does not see that the sum can stay where it is. */
Q4_INLINE void dot(__m512i *sum, __m512i codes, __m512i weights)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(codes), "v"(weights));
}

/* The next four rows of each strand. */
Q4_INLINE void add_rows(const struct strand *strands, size_t at,
                        const struct tile_shape shape,
                        struct integer_sums *sums)
{
    __m512i r0 = load_rows(strands, 0, at, shape);
    __m512i r1 = load_rows(strands, 1, at, shape);
    __m512i r2 = load_rows(strands, 2, at, shape);
    __m512i r3 = load_rows(strands, 3, at, shape);
    __m512i low01 = _mm512_unpacklo_epi8(r0, r1);
    __m512i high01 = _mm512_unpackhi_epi8(r0, r1);
    __m512i low23 = _mm512_unpacklo_epi8(r2, r3);
    __m512i high23 = _mm512_unpackhi_epi8(r2, r3);
    __m512i bytes[4] = {_mm512_unpacklo_epi16(low01, low23),
                        _mm512_unpackhi_epi16(low01, low23),
                        _mm512_unpacklo_epi16(high01, high23),
                        _mm512_unpackhi_epi16(high01, high23)};
#pragma GCC unroll 3
    for (unsigned d = shape.first_digit; d < 3; d++) {
        const uint32_t *digits[4];
#pragma GCC unroll 4
        for (unsigned s = 0; s < shape.strands; s++) {
            digits[s] = &strands[s].digits[d].of_four;
        }
        __m512i weights = spread(digits, shape.strands);
#pragma GCC unroll 4
        for (unsigned k = 0; k < 4; k++) {
            __m512i low = _mm512_and_si512(bytes[k], _mm512_set1_epi8(0xf));
            dot(&sums[d].low[k], low, weights);
            dot(&sums[d].byte[k], bytes[k], weights);
        }
    }
}

/* a * 2^8 + b: 256 rows x 255 x 128 x 257 fits 32 bits, with the sign. */
Q4_INLINE __m512i combine(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_slli_epi32(a, 8), b);
}

Q4_INLINE struct integer_sums combine_sums(const struct integer_sums *a,
                                           const struct integer_sums *b)
{
    struct integer_sums sums;
#pragma GCC unroll 4
    for (unsigned k = 0; k < 4; k++) {
        sums.low[k] = combine(a->low[k], b->low[k]);
        sums.byte[k] = combine(a->byte[k], b->byte[k]);
    }
    return sums;
}

/* Every strand gets the sum of all. */
Q4_INLINE __m512i add_strands(__m512i sum, const unsigned strands)
{
    if (strands > 1) {
        sum = _mm512_add_epi32(sum, _mm512_shuffle_i64x2(sum, sum, 0x4e));
    }
    if (strands > 2) {
        sum = _mm512_add_epi32(sum, _mm512_shuffle_i64x2(sum, sum, 0xb1));
    }
    return sum;
}

/* Of low and, in place of bytes, high nibbles. */
Q4_INLINE void split_nibbles(struct integer_sums *sums,
                             const struct tile_shape shape)
{
#pragma GCC unroll 4
    for (unsigned k = 0; k < 4; k++) {
        if (shape.together) {
            sums->low[k] = add_strands(sums->low[k], shape.strands);
            sums->byte[k] = add_strands(sums->byte[k], shape.strands);
        }
        sums->byte[k] =
            _mm512_srai_epi32(_mm512_sub_epi32(sums->byte[k], sums->low[k]), 4);
    }
}

/* top * 2^16 + rest, exact in double and rounded once. */
Q4_INLINE __m512 wide_to_float(__m512i top, __m512i rest)
{
    const __m512d shift = _mm512_set1_pd(65536);
    __m512d a =
        _mm512_fmadd_pd(_mm512_cvtepi32_pd(_mm512_castsi512_si256(top)), shift,
                        _mm512_cvtepi32_pd(_mm512_castsi512_si256(rest)));
    __m512d b = _mm512_fmadd_pd(
        _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(top, 1)), shift,
        _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(rest, 1)));
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a)),
                              _mm512_cvtpd_ps(b), 1);
}

/* Sums of low and of high nibbles, of bytes 4k to 4k + 3 of each 16. */
struct nibble_values {
    __m512 low[4];
    __m512 high[4];
};

/* Times a power of two, which is exact. */
Q4_INLINE void scale_values(struct nibble_values *values, __m512 unit)
{
#pragma GCC unroll 4
    for (unsigned k = 0; k < 4; k++) {
        values->low[k] = _mm512_mul_ps(values->low[k], unit);
        values->high[k] = _mm512_mul_ps(values->high[k], unit);
    }
}

Q4_INLINE struct nibble_values to_floats(const struct integer_sums *sums,
                                         const struct tile_shape shape)
{
    struct nibble_values values;

    if (shape.first_digit == 1) {
        struct integer_sums all = combine_sums(&sums[2], &sums[1]);
        split_nibbles(&all, shape);
#pragma GCC unroll 4
        for (unsigned k = 0; k < 4; k++) {
            values.low[k] = _mm512_cvtepi32_ps(all.low[k]);
            values.high[k] = _mm512_cvtepi32_ps(all.byte[k]);
        }
        return values;
    }
    struct integer_sums top = sums[2];
    struct integer_sums rest = combine_sums(&sums[1], &sums[0]);
    split_nibbles(&top, shape);
    split_nibbles(&rest, shape);
#pragma GCC unroll 4
    for (unsigned k = 0; k < 4; k++) {
        values.low[k] = wide_to_float(top.low[k], rest.low[k]);
        values.high[k] = wide_to_float(top.byte[k], rest.byte[k]);
    }
    return values;
}

/* Quarter i of a vector is of bytes 16i to 16i + 15. */
Q4_INLINE void store_values(const struct nibble_values *values, float *out)
{
    const __m512i low_half = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4,
                                               20, 5, 21, 6, 22, 7, 23);
    const __m512i high_half = _mm512_add_epi32(low_half, _mm512_set1_epi32(8));
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        const __m512 *low = values->low + 2 * h;
        const __m512 *high = values->high + 2 * h;
        __m512 a = _mm512_permutex2var_ps(low[0], low_half, high[0]);
        __m512 b = _mm512_permutex2var_ps(low[1], low_half, high[1]);
        __m512 c = _mm512_permutex2var_ps(low[0], high_half, high[0]);
        __m512 d = _mm512_permutex2var_ps(low[1], high_half, high[1]);
        float *to = out + 16 * h;
        _mm512_store_ps(to, _mm512_shuffle_f32x4(a, b, 0x44));
        _mm512_store_ps(to + 32, _mm512_shuffle_f32x4(a, b, 0xee));
        _mm512_store_ps(to + 64, _mm512_shuffle_f32x4(c, d, 0x44));
        _mm512_store_ps(to + 96, _mm512_shuffle_f32x4(c, d, 0xee));
    }
}

/* The strands' rows from i on; a strand that is over goes on times 0. */
Q4_INLINE void strands_at(const struct strand *strands, size_t i,
                          const unsigned n_strands, struct strand *now)
{
    static const struct q4_digits zeros[4];

#pragma GCC unroll 4
    for (unsigned s = 0; s < n_strands; s++) {
        bool more = n_strands == 1 || i < strands[s].n;
        now[s].rows = more ? strands[s].rows + i : strands[s].rows;
        now[s].digits = more ? strands[s].digits + i : zeros;
    }
}

/*
 * A tile from byte `at` of the rows on: VECTOR_COLUMNS / strands values of each
 * strand, one strand after the other (or of the one bag, with copies behind).
 * Rows behind the last are those of the next bags, times 0. With the first tile
 * of a bag goes prefetching, from row `ahead` on.
 */
Q4_INLINE void integer_tile(const struct kernel_job *job,
                            const struct strand *strands, size_t at,
                            size_t ahead, const struct tile_shape shape,
                            float *out)
{
    struct integer_sums sums[3];
    uint32_t units[4];
    const uint32_t *unit[4];
    size_t most = 0;

#pragma GCC unroll 3
    for (unsigned d = shape.first_digit; d < 3; d++) {
#pragma GCC unroll 4
        for (unsigned k = 0; k < 4; k++) {
            sums[d].low[k] = sums[d].byte[k] = _mm512_setzero_si512();
        }
    }
#pragma GCC unroll 4
    for (unsigned s = 0; s < shape.strands; s++) {
        most = strands[s].n > most ? strands[s].n : most;
        units[s] = float_bits(q4_power(strands[s].exponent - Q4_SCALE_BITS +
                                       (shape.first_digit == 1 ? 8 : 0)));
        unit[s] = &units[s];
    }
    for (size_t i = 0; i < most; i += 4) {
        struct strand now[4];
        if (at == job->col / 2) {
            kernel_prefetch_ahead(job, ahead + i * shape.strands,
                                  4 * shape.strands);
        }
        strands_at(strands, i, shape.strands, now);
        add_rows(now, at, shape, sums);
    }
    struct nibble_values values = to_floats(sums, shape);
    scale_values(&values, _mm512_castsi512_ps(spread(unit, shape.strands)));
    store_values(&values, out);
}

#endif
