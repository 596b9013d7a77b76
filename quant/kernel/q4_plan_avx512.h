/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Planning of bags summed in integers: the greatest scale, the sum of the
 * biases, the digits. Bags are planned four at a time where there are as many:
 * the reductions of four vectors take half the instructions of four reductions.
 */
#ifndef NB_QUANT_Q4_PLAN_AVX512_H
#define NB_QUANT_Q4_PLAN_AVX512_H

#include "quant/kernel/q4_avx512.h"
#include "quant/kernel/q4_block.h"

/* Of a bag's rows, lane by lane. */
struct q4_survey {
    __m512i greatest; /* bits of absolute scales */
    __m512 bias;
};

Q4_INLINE void survey_step(struct q4_survey *survey, __m512 scales,
                           __m512 biases)
{
    __m512i bits = _mm512_and_si512(_mm512_castps_si512(scales),
                                    _mm512_set1_epi32(0x7fffffff));
    survey->greatest = _mm512_max_epu32(survey->greatest, bits);
    survey->bias = _mm512_add_ps(survey->bias, biases);
}

Q4_INLINE struct q4_survey survey_rows(const float *scales, const float *biases,
                                       size_t n)
{
    struct q4_survey all = {_mm512_setzero_si512(), _mm512_setzero_ps()};
    size_t i = 0;

    for (; i + Q4_STEP <= n; i += Q4_STEP) {
        survey_step(&all, _mm512_loadu_ps(scales + i),
                    _mm512_loadu_ps(biases + i));
    }
    if (i < n) {
        __mmask16 mask = q4_mask(n - i);
        survey_step(&all, _mm512_maskz_loadu_ps(mask, scales + i),
                    _mm512_maskz_loadu_ps(mask, biases + i));
    }
    return all;
}

/* Lanes are folded half onto half. */
static uint32_t survey(const float *scales, const float *biases, size_t n,
                       float *bias)
{
    struct q4_survey all = survey_rows(scales, biases, n);
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(all.bias),
                                 _mm512_extractf32x8_ps(all.bias, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight),
                             _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    *bias = _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    return _mm512_reduce_max_epu32(all.greatest);
}

/* The same folds of two surveys: 8 lanes of a, then 8 of b. */
Q4_INLINE struct q4_survey fold_halves(struct q4_survey a, struct q4_survey b)
{
    return (struct q4_survey){
        _mm512_max_epu32(_mm512_shuffle_i32x4(a.greatest, b.greatest, 0x44),
                         _mm512_shuffle_i32x4(a.greatest, b.greatest, 0xee)),
        _mm512_add_ps(_mm512_shuffle_f32x4(a.bias, b.bias, 0x44),
                      _mm512_shuffle_f32x4(a.bias, b.bias, 0xee))};
}

/* Of four, two in each of a and b: every lane of a quarter is the whole. */
Q4_INLINE struct q4_survey fold_quarters(struct q4_survey a, struct q4_survey b)
{
    __m512i most =
        _mm512_max_epu32(_mm512_shuffle_i32x4(a.greatest, b.greatest, 0x88),
                         _mm512_shuffle_i32x4(a.greatest, b.greatest, 0xdd));
    __m512 bias = _mm512_add_ps(_mm512_shuffle_f32x4(a.bias, b.bias, 0x88),
                                _mm512_shuffle_f32x4(a.bias, b.bias, 0xdd));

    most = _mm512_max_epu32(most, _mm512_shuffle_epi32(most, 0x4e));
    bias = _mm512_add_ps(bias, _mm512_permute_ps(bias, 0x4e));
    most = _mm512_max_epu32(most, _mm512_shuffle_epi32(most, 0xb1));
    bias = _mm512_add_ps(bias, _mm512_permute_ps(bias, 0xb1));
    return (struct q4_survey){most, bias};
}

/* Digits of 16 rows; returns their integers. */
Q4_INLINE __m512i digits_step(__m512 scales, __m512 factor,
                              struct q4_digits *digits)
{
    const __m512i half = _mm512_set1_epi32(0x808080);
    const __m512i transpose = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(scales, factor));
    __m512i bytes = _mm512_xor_si512(_mm512_add_epi32(whole, half), half);

    _mm512_store_si512(digits, _mm512_shuffle_epi8(bytes, transpose));
    return whole;
}

Q4_INLINE bool digits_of(const float *scales, size_t n, __m512 factor,
                         struct q4_digits *digits)
{
    __m512i any = _mm512_setzero_si512();
    size_t i = 0;

    for (; i + Q4_STEP <= n; i += Q4_STEP) {
        any = _mm512_or_si512(
            any, digits_step(_mm512_loadu_ps(scales + i), factor, digits + i));
    }
    if (i < n) {
        __m512 rest = _mm512_maskz_loadu_ps(q4_mask(n - i), scales + i);
        any = _mm512_or_si512(any, digits_step(rest, factor, digits + i));
    }
    return _mm512_test_epi32_mask(any, _mm512_set1_epi32(0xff)) != 0;
}

static bool make_digits(const float *scales, size_t n, int e,
                        struct q4_digits *digits)
{
    return digits_of(scales, n, _mm512_set1_ps(q4_power(Q4_SCALE_BITS - e)),
                     digits);
}

/* What is known of four bags: of bag b in lanes 4b to 4b + 3. */
struct four_facts {
    _Alignas(64) float bias[16];
    _Alignas(64) int exponent[16];
    _Alignas(64) float factor[16]; /* 2^(Q4_SCALE_BITS - exponent) */
};

/* False if a scale is not finite. */
Q4_INLINE bool survey_four(const struct q4_params *params, size_t first,
                           const uint32_t *counts, struct four_facts *facts)
{
    struct q4_survey of[4];

#pragma GCC unroll 4
    for (unsigned b = 0; b < 4; b++) {
        of[b] = survey_rows(params->scales + first, params->biases + first,
                            counts[b]);
        first += counts[b];
    }
    struct q4_survey all =
        fold_quarters(fold_halves(of[0], of[1]), fold_halves(of[2], of[3]));
    __m512i exponent =
        _mm512_max_epi32(_mm512_sub_epi32(_mm512_srli_epi32(all.greatest, 23),
                                          _mm512_set1_epi32(126)),
                         _mm512_set1_epi32(Q4_MIN_EXPONENT));
    __m512i factor = _mm512_slli_epi32(
        _mm512_sub_epi32(_mm512_set1_epi32(Q4_SCALE_BITS + 127), exponent), 23);

    _mm512_store_ps(facts->bias, all.bias);
    _mm512_store_si512(facts->exponent, exponent);
    _mm512_store_si512(facts->factor, factor);
    return _mm512_cmpge_epu32_mask(all.greatest,
                                   _mm512_set1_epi32(0x7f800000)) == 0;
}

/* As four calls of plan_bag(); 0 if one of them would not take integers. */
static size_t plan_four(const struct q4_params *params, size_t first,
                        const uint32_t *counts, struct q4_digits *digits,
                        struct q4_plan *plans)
{
    struct four_facts facts;
    size_t taken = 0;

    if (counts[0] < Q4_FEW || counts[1] < Q4_FEW || counts[2] < Q4_FEW ||
        counts[3] < Q4_FEW || !survey_four(params, first, counts, &facts)) {
        return 0;
    }
    for (size_t b = 0; b < 4; b++) {
        size_t n = counts[b];
        const float *scales = params->scales + first;
        plans[b] = (struct q4_plan){.first = first,
                                    .n = n,
                                    .scales = scales,
                                    .digits = digits + taken,
                                    .bias = facts.bias[4 * b],
                                    .exponent = facts.exponent[4 * b],
                                    .integers = true};
        plans[b].low_digits = digits_of(
            scales, n, _mm512_set1_ps(facts.factor[4 * b]), digits + taken);
        taken += (n + Q4_STEP - 1) / Q4_STEP * Q4_STEP;
        first += n;
    }
    return taken;
}

#endif
