/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Sums of q4 rows. Scales and biases of all rows of a job are collected first;
 * blocks of many rows are then summed as integers, others as floats. */

#include "quant/kernel/q4_avx512.h"
#include "quant/kernel/q4_block.h"
#include "quant/kernel/q4_integer_avx512.h"

/* ---- scales and biases ----------------------------------------------- */

Q4_INLINE void store_params(const struct kernel_job *job, size_t i,
                            __m512 scales, __m512 biases, size_t n,
                            struct q4_params *params)
{
    if (job->weights != NULL) {
        __m512 w = _mm512_maskz_loadu_ps(q4_mask(n - i), job->weights + i);
        scales = _mm512_mul_ps(w, scales);
        biases = _mm512_mul_ps(w, biases);
    }
    _mm512_store_ps(params->scales + i, scales);
    _mm512_store_ps(params->biases + i, biases);
}

static void collect_half(const struct kernel_job *job, size_t at, size_t n,
                         struct q4_params *params)
{
    _Alignas(64) uint32_t raw[KERNEL_BLOCK + 16];

#pragma GCC unroll 4
    for (size_t i = 0; i < n; i++) {
        raw[i] = get_u32(job->rows[i] + at);
    }
    for (size_t i = 0; i < n; i += 16) {
        __m512i both = _mm512_load_si512(raw + i);
        __m512 scales = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(both));
        __m512 biases =
            _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
        store_params(job, i, scales, biases, n, params);
    }
}

static void collect_single(const struct kernel_job *job, size_t at, size_t n,
                           struct q4_params *params)
{
    q4_collect_single(job, at, n, params);
    for (size_t i = 0; job->weights != NULL && i < n; i += 16) {
        store_params(job, i, _mm512_load_ps(params->scales + i),
                     _mm512_load_ps(params->biases + i), n, params);
    }
}

static void collect(const struct kernel_job *job, size_t n,
                    struct q4_params *params)
{
    size_t at = q4_code_bytes(job->dim);

    if (job->scales == NB_SCALES_FP16) {
        collect_half(job, at, n, params);
    } else {
        collect_single(job, at, n, params);
    }
}

/* ---- as floats ------------------------------------------------------- */

/* The 16 products of a row are made once; codes look them up. */
Q4_INLINE void float_units(const uint8_t *const *rows, size_t n,
                           const struct q4_tile *tile, const float *scales,
                           float *sums, const unsigned units)
{
    __m512 values[KERNEL_TILE_MAX / Q4_UNIT];
    __m512i shifts = q4_shifts(0);
    __m512i tail_shifts = q4_shifts(tile->tail_shift);

#pragma GCC unroll 16
    for (unsigned u = 0; u < units; u++) {
        values[u] = _mm512_setzero_ps();
    }
    for (size_t i = 0; i < n; i++) {
        const uint8_t *row = rows[i];
        __m512 table = _mm512_mul_ps(_mm512_set1_ps(scales[i]), q4_codes());
#pragma GCC unroll 16
        for (unsigned u = 0; u < units; u++) {
            bool tail = u + 1 == units;
            size_t at = tail ? tile->tail_at : tile->at + u * Q4_UNIT_BYTES;
            __m512i index = q4_indices(row + at, tail ? tail_shifts : shifts);
            values[u] =
                _mm512_add_ps(values[u], _mm512_permutexvar_ps(index, table));
        }
    }
#pragma GCC unroll 16
    for (unsigned u = 0; u < units; u++) {
        _mm512_store_ps(sums + u * Q4_UNIT, q4_ordered(values[u]));
    }
}

#define FOR_UNITS(DO)                                                          \
    DO(1)                                                                      \
    DO(2)                                                                      \
    DO(3)                                                                      \
    DO(4)                                                                      \
    DO(5)                                                                      \
    DO(6)                                                                      \
    DO(7)                                                                      \
    DO(8)                                                                      \
    DO(9)                                                                      \
    DO(10)                                                                     \
    DO(11)                                                                     \
    DO(12)                                                                     \
    DO(13)                                                                     \
    DO(14)                                                                     \
    DO(15)                                                                     \
    DO(16)

#define FLOAT_FUNCTION(units)                                                  \
    static void float_##units(const uint8_t *const *rows, size_t n,            \
                              const struct q4_tile *tile, const float *scales, \
                              float *sums)                                     \
    {                                                                          \
        float_units(rows, n, tile, scales, sums, units);                       \
    }
FOR_UNITS(FLOAT_FUNCTION)

/* By units less one. */
static void (*const float_functions[])(const uint8_t *const *rows, size_t n,
                                       const struct q4_tile *tile,
                                       const float *scales, float *sums) = {
#define FLOAT_ENTRY(units) [(units)-1] = float_##units,
    FOR_UNITS(FLOAT_ENTRY)};

static void sum_as_floats(const struct kernel_job *job,
                          const struct q4_plan *plan, float *sums)
{
    const uint8_t *const *rows = job->rows + plan->first;
    struct q4_tile tile;

    q4_tile_init(&tile, job, job->col, job->width);
    for (size_t i = 0; i < plan->n; i += 4) {
        kernel_prefetch_ahead(job, plan->first + i, 4);
    }
    float_functions[tile.units - 1](rows, plan->n, &tile, plan->scales, sums);
}

/* ---- as integers ----------------------------------------------------- */

struct survey {
    __m512i greatest;
    __m512 bias;
};

Q4_INLINE void survey_step(struct survey *survey, __m512 scales, __m512 biases)
{
    __m512i bits = _mm512_and_si512(_mm512_castps_si512(scales),
                                    _mm512_set1_epi32(0x7fffffff));
    survey->greatest = _mm512_max_epu32(survey->greatest, bits);
    survey->bias = _mm512_add_ps(survey->bias, biases);
}

/* Biases are summed lane by lane, then halves onto each other. */
static uint32_t survey(const float *scales, const float *biases, size_t n,
                       float *bias)
{
    struct survey all = {_mm512_setzero_si512(), _mm512_setzero_ps()};
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
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(all.bias),
                                 _mm512_extractf32x8_ps(all.bias, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight),
                             _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    *bias = _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    return _mm512_reduce_max_epu32(all.greatest);
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

static bool make_digits(const float *scales, size_t n, int e,
                        struct q4_digits *digits)
{
    const __m512 factor = _mm512_set1_ps(q4_power(Q4_SCALE_BITS - e));
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

#define TILE_FUNCTION(name, wide, first_digit, masked)                         \
    static void name(const struct kernel_job *job, const struct q4_plan *plan, \
                     size_t at, __mmask64 mask, float *out)                    \
    {                                                                          \
        const struct tile_shape shape = {wide, first_digit, masked, mask};     \
        integer_tile(job, plan, at, shape, out);                               \
    }
TILE_FUNCTION(narrow_3, false, 0, false)
TILE_FUNCTION(narrow_3_masked, false, 0, true)
TILE_FUNCTION(narrow_2, false, 1, false)
TILE_FUNCTION(narrow_2_masked, false, 1, true)
TILE_FUNCTION(wide_3, true, 0, false)
TILE_FUNCTION(wide_3_masked, true, 0, true)
TILE_FUNCTION(wide_2, true, 1, false)
TILE_FUNCTION(wide_2_masked, true, 1, true)

/* By wide, two digits do, masked. */
static void (*const tile_functions[2][2][2])(const struct kernel_job *job,
                                             const struct q4_plan *plan,
                                             size_t at, __mmask64 mask,
                                             float *out) = {
    {{narrow_3, narrow_3_masked}, {narrow_2, narrow_2_masked}},
    {{wide_3, wide_3_masked}, {wide_2, wide_2_masked}}};

static void sum_as_integers(const struct kernel_job *job,
                            const struct q4_plan *plan, float *sums)
{
    size_t end = q4_code_bytes(job->dim);
    uint32_t j = 0;

    while (j < job->width) {
        size_t at = (job->col + j) / 2;
        bool wide = job->width - j > NARROW_COLUMNS;
        size_t bytes = wide ? 64 : 32;
        size_t left = end - at;
        bool masked = left < bytes;
        __mmask64 mask = masked ? ((__mmask64)1 << left) - 1 : UINT64_MAX;
        tile_functions[wide][!plan->low_digits][masked](job, plan, at, mask,
                                                        sums + j);
        j += wide ? WIDE_COLUMNS : NARROW_COLUMNS;
    }
}

/* ---- bags ------------------------------------------------------------ */

static void finish_plain(const struct kernel_job *job, const float *sums,
                         __m512 bias, uint8_t *out)
{
    float *to = (float *)(void *)out;
    uint32_t j = 0;

    for (; j + Q4_UNIT <= job->width; j += Q4_UNIT) {
        _mm512_storeu_ps(to + j, _mm512_add_ps(_mm512_load_ps(sums + j), bias));
    }
    if (j < job->width) {
        q4_store((uint8_t *)(to + j), NB_FP32,
                 _mm512_add_ps(_mm512_load_ps(sums + j), bias), job->width - j);
    }
}

static void finish(const struct kernel_job *job, const float *sums, float bias,
                   float divisor, uint8_t *out)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;
    __m512 biases = _mm512_set1_ps(bias);

    if (job->sums == NULL && divisor == 0 && job->dtype == NB_FP32) {
        finish_plain(job, sums, biases, out);
        return;
    }
    for (uint32_t j = 0; j < job->width; j += Q4_UNIT) {
        __m512 sum = _mm512_add_ps(_mm512_load_ps(sums + j), biases);
        if (job->resume) {
            sum = _mm512_add_ps(_mm512_load_ps(job->sums->values + j), sum);
        }
        if (job->suspend) {
            _mm512_store_ps(job->sums->values + j, sum);
            continue;
        }
        if (divisor > 0) {
            sum = _mm512_div_ps(sum, _mm512_set1_ps(divisor));
        }
        q4_store(out + j * value_bytes, job->dtype, sum, job->width - j);
    }
}

#include "quant/kernel/q4_sum_template.h"

void nb_q4_sum_avx512(const struct kernel_job *job)
{
    if (q4_too_short(job)) {
        nb_q4_sum_scalar(job);
        return;
    }
    sum_bags(job);
}
