/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Exact sums of scale times code over the rows of a block, with AVX-512. Bytes
 * of four rows are brought side by side, and vpdpbusd multiplies them with four
 * bytes of the scales (a digit each) and adds the products up. Two sums are
 * kept, of the low nibbles and of whole bytes, low + 16 high: no shifting.
 *
 * A wide tile is 128 columns, four rows at a time. A narrow one is 64 columns,
 * eight rows at a time: rows 0 to 3 in the low half of a vector, 4 to 7 in the
 * high half, which are added in the end.
 */
#ifndef NB_QUANT_Q4_INTEGER_AVX512_H
#define NB_QUANT_Q4_INTEGER_AVX512_H

#include "quant/kernel/q4_avx512.h"
#include "quant/kernel/q4_block.h"

#define WIDE_COLUMNS   128
#define NARROW_COLUMNS 64

/* Constants where it is used, but for the mask. */
struct tile_shape {
    bool wide;
    unsigned first_digit; /* 1 if digits 0 are all 0 */
    bool masked;          /* the tile is cut by the end of the row */
    __mmask64 mask;       /* of bytes; all if not masked */
};

/* Of a digit, or of several: for bytes 4k to 4k + 3 of each 16. */
struct integer_sums {
    __m512i low[4];
    __m512i byte[4];
};

/* One row, or two with `second`. */
Q4_INLINE __m512i load_rows(const uint8_t *first, const uint8_t *second,
                            const struct tile_shape shape)
{
    if (shape.wide) {
        return shape.masked ? _mm512_maskz_loadu_epi8(shape.mask, first)
                            : _mm512_loadu_si512(first);
    }
    __mmask32 mask = (__mmask32)shape.mask;
    __m256i a = shape.masked ? _mm256_maskz_loadu_epi8(mask, first)
                             : _mm256_loadu_si256((const void *)first);
    __m256i b = shape.masked ? _mm256_maskz_loadu_epi8(mask, second)
                             : _mm256_loadu_si256((const void *)second);
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

/* Digit d of the scales of the rows: of rows 4 to 7 in the high half, if the
 * tile is narrow. */
Q4_INLINE __m512i load_digit(const struct q4_digits *digits, const unsigned d,
                             const bool wide)
{
    if (wide) {
        return _mm512_set1_epi32((int)digits[d].of_four);
    }
    __m512i pick = _mm512_inserti64x4(_mm512_set1_epi32((int)d),
                                      _mm256_set1_epi32((int)d + 4), 1);
    return _mm512_permutexvar_epi32(
        pick, _mm512_castsi256_si512(_mm256_loadu_si256((const void *)digits)));
}

/* sum += codes . weights, four bytes a lane. An intrinsic would be copied about
 * by the compiler, which does not see that the sum can stay where it is. */
Q4_INLINE void dot(__m512i *sum, __m512i codes, __m512i weights)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(codes), "v"(weights));
}

/* Four rows, or eight. */
Q4_INLINE void add_rows(const uint8_t *const *rows, size_t at,
                        const struct q4_digits *digits,
                        const struct tile_shape shape,
                        struct integer_sums *sums)
{
    __m512i r0 = load_rows(rows[0] + at, rows[4] + at, shape);
    __m512i r1 = load_rows(rows[1] + at, rows[5] + at, shape);
    __m512i r2 = load_rows(rows[2] + at, rows[6] + at, shape);
    __m512i r3 = load_rows(rows[3] + at, rows[7] + at, shape);
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
        __m512i weights = load_digit(digits, d, shape.wide);
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

/* Adds the halves of a and b: those of a come out low, those of b high. */
Q4_INLINE __m512i add_halves(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x44),
                            _mm512_shuffle_i64x2(a, b, 0xee));
}

/* Of low and, in place of bytes, high nibbles. A narrow tile leaves two vectors
 * of each: 0 holds k = 0 and 1, 1 holds k = 2 and 3. */
Q4_INLINE void split_nibbles(struct integer_sums *sums, const bool wide)
{
    const unsigned n = wide ? 4 : 2;

    if (!wide) {
        sums->low[0] = add_halves(sums->low[0], sums->low[1]);
        sums->low[1] = add_halves(sums->low[2], sums->low[3]);
        sums->byte[0] = add_halves(sums->byte[0], sums->byte[1]);
        sums->byte[1] = add_halves(sums->byte[2], sums->byte[3]);
    }
#pragma GCC unroll 4
    for (unsigned k = 0; k < n; k++) {
        sums->byte[k] =
            _mm512_srai_epi32(_mm512_sub_epi32(sums->byte[k], sums->low[k]), 4);
    }
}

/* (top * 2^16 + rest) * unit, exact in double and rounded once. */
Q4_INLINE __m512 wide_to_float(__m512i top, __m512i rest, double unit)
{
    __m512d high = _mm512_set1_pd(65536 * unit);
    __m512d low = _mm512_set1_pd(unit);
    __m512d a = _mm512_fmadd_pd(
        _mm512_cvtepi32_pd(_mm512_castsi512_si256(top)), high,
        _mm512_mul_pd(_mm512_cvtepi32_pd(_mm512_castsi512_si256(rest)), low));
    __m512d b = _mm512_fmadd_pd(
        _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(top, 1)), high,
        _mm512_mul_pd(_mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(rest, 1)),
                      low));
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a)),
                              _mm512_cvtpd_ps(b), 1);
}

/* Low and high nibbles' sums as floats, of k or of two k. */
struct nibble_values {
    __m512 low[4];
    __m512 high[4];
};

Q4_INLINE struct nibble_values to_floats(const struct integer_sums *sums,
                                         const struct tile_shape shape, int e)
{
    const unsigned n = shape.wide ? 4 : 2;
    struct nibble_values values;

    if (shape.first_digit == 1) {
        struct integer_sums all = combine_sums(&sums[2], &sums[1]);
        __m512 unit = _mm512_set1_ps(q4_power(e - Q4_SCALE_BITS + 8));
        split_nibbles(&all, shape.wide);
#pragma GCC unroll 4
        for (unsigned k = 0; k < n; k++) {
            values.low[k] = _mm512_mul_ps(_mm512_cvtepi32_ps(all.low[k]), unit);
            values.high[k] =
                _mm512_mul_ps(_mm512_cvtepi32_ps(all.byte[k]), unit);
        }
        return values;
    }
    struct integer_sums top = sums[2];
    struct integer_sums rest = combine_sums(&sums[1], &sums[0]);
    double unit = (double)q4_power(e - Q4_SCALE_BITS);
    split_nibbles(&top, shape.wide);
    split_nibbles(&rest, shape.wide);
#pragma GCC unroll 4
    for (unsigned k = 0; k < n; k++) {
        values.low[k] = wide_to_float(top.low[k], rest.low[k], unit);
        values.high[k] = wide_to_float(top.byte[k], rest.byte[k], unit);
    }
    return values;
}

/* Quarter i of a narrow vector: bytes of quarter i % 2 of the row, of the first
 * k in the low half and the second k in the high half. */
Q4_INLINE void store_narrow(const struct nibble_values *values, float *out)
{
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 8, 24,
                                            9, 25, 10, 26, 11, 27);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(4));
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        __m512 low = values->low[h];
        __m512 high = values->high[h];
        _mm512_store_ps(out + 16 * h, _mm512_permutex2var_ps(low, first, high));
        _mm512_store_ps(out + 32 + 16 * h,
                        _mm512_permutex2var_ps(low, second, high));
    }
}

/* Quarter i of a wide vector is of quarter i of the row's 64 bytes. */
Q4_INLINE void store_wide(const struct nibble_values *values, float *out)
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

/* A tile from byte `at` of the rows on. Rows behind the last are those of the
 * next bags, times 0. */
Q4_INLINE void integer_tile(const struct kernel_job *job,
                            const struct q4_plan *plan, size_t at,
                            const struct tile_shape shape, float *out)
{
    const unsigned step = shape.wide ? 4 : 8;
    struct integer_sums sums[3];

#pragma GCC unroll 3
    for (unsigned d = shape.first_digit; d < 3; d++) {
#pragma GCC unroll 4
        for (unsigned k = 0; k < 4; k++) {
            sums[d].low[k] = sums[d].byte[k] = _mm512_setzero_si512();
        }
    }
    for (size_t i = 0; i < plan->n; i += step) {
        if (at == job->col / 2) {
            kernel_prefetch_ahead(job, plan->first + i, step);
        }
        add_rows(job->rows + plan->first + i, at, plan->digits + i, shape,
                 sums);
    }
    struct nibble_values values = to_floats(sums, shape, plan->exponent);
    if (shape.wide) {
        store_wide(&values, out);
    } else {
        store_narrow(&values, out);
    }
}

#endif
