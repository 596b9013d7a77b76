/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of q4 rows. Scales and biases of all rows of a job are collected first.
 * Blocks of many rows are summed as integers, four rows and 64 columns at a
 * time: bytes of four rows are brought side by side; vpmaddubsw multiplies the
 * codes with four bytes of the scales and adds two products up (15 x 128 x 2
 * fits 16 bits), vpmaddwd the other two.
 */

#include "quant/kernel/q4_avx2.h"
#include "quant/kernel/q4_block.h"

#define LANES 8

/* ---- scales and biases ----------------------------------------------- */

/* Loads and stores whole vectors; what is behind n is not used. */
static void weigh(const float *weights, size_t n, struct q4_params *params)
{
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        __m256 w = _mm256_loadu_ps(weights + i);
        float *scales = params->scales + i;
        float *biases = params->biases + i;
        _mm256_store_ps(scales, _mm256_mul_ps(w, _mm256_load_ps(scales)));
        _mm256_store_ps(biases, _mm256_mul_ps(w, _mm256_load_ps(biases)));
    }
    for (; i < n; i++) {
        params->scales[i] = weights[i] * params->scales[i];
        params->biases[i] = weights[i] * params->biases[i];
    }
}

/* Low 16 bits of each of 8 lanes, as halves. */
Q4_INLINE __m256 halves(__m256i lanes)
{
    __m256i words = _mm256_and_si256(lanes, _mm256_set1_epi32(0xffff));
    return _mm256_cvtph_ps(_mm_packus_epi32(
        _mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

static void collect_half(const struct kernel_job *job, size_t at, size_t n,
                         struct q4_params *params)
{
    _Alignas(32) uint32_t raw[KERNEL_BLOCK + 16];

#pragma GCC unroll 4
    for (size_t i = 0; i < n; i++) {
        raw[i] = get_u32(job->rows[i] + at);
    }
    for (size_t i = 0; i < n; i += LANES) {
        __m256i both = _mm256_load_si256((const void *)(raw + i));
        _mm256_store_ps(params->scales + i, halves(both));
        _mm256_store_ps(params->biases + i,
                        halves(_mm256_srli_epi32(both, 16)));
    }
}

static void collect(const struct kernel_job *job, size_t n,
                    struct q4_params *params)
{
    size_t at = q4_code_bytes(job->dim);

    if (job->scales == NB_SCALES_FP16) {
        collect_half(job, at, n, params);
    } else {
        q4_collect_single(job, at, n, params);
    }
    if (job->weights != NULL) {
        weigh(job->weights, n, params);
    }
}

/* The first n of 8, zeros behind. */
Q4_INLINE __m256 load_some(const float *from, size_t n)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    int some = n < LANES ? (int)n : LANES;
    return _mm256_maskload_ps(
        from, _mm256_cmpgt_epi32(_mm256_set1_epi32(some), lanes));
}

static float sum_of_biases(const float *biases, size_t n)
{
    __m256 low = _mm256_setzero_ps();
    __m256 high = _mm256_setzero_ps();

    for (size_t i = 0; i < n; i += Q4_BIAS_LANES) {
        low = _mm256_add_ps(low, load_some(biases + i, n - i));
        if (n - i > LANES) {
            high = _mm256_add_ps(high,
                                 load_some(biases + i + LANES, n - i - LANES));
        }
    }
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight),
                             _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static uint32_t survey(const float *scales, const float *biases, size_t n,
                       float *bias)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i greatest = _mm256_setzero_si256();

    for (size_t i = 0; i < n; i += LANES) {
        __m256i bits = _mm256_castps_si256(load_some(scales + i, n - i));
        greatest =
            _mm256_max_epu32(greatest, _mm256_and_si256(bits, magnitude));
    }
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(greatest),
                                 _mm256_extracti128_si256(greatest, 1));
    __m128i two = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    __m128i one = _mm_max_epu32(two, _mm_shuffle_epi32(two, 0xb1));
    *bias = sum_of_biases(biases, n);
    return (uint32_t)_mm_cvtsi128_si32(one);
}

/* ---- as floats ------------------------------------------------------- */

/* Few rows: a unit at a time. */
static void sum_as_floats(const struct kernel_job *job,
                          const struct q4_plan *plan, float *sums)
{
    const uint8_t *const *rows = job->rows + plan->first;
    struct q4_tile tile;

    q4_tile_init(&tile, job, job->col, job->width);
    for (size_t i = 0; i < plan->n; i += 4) {
        kernel_prefetch_ahead(job, plan->first + i, 4);
    }
    for (unsigned u = 0; u < tile.units; u++) {
        const __m256 nothing = _mm256_set1_ps(-0.0f); /* -0 + x is x */
        struct q4_pair sum = {nothing, nothing};
        for (size_t i = 0; i < plan->n; i++) {
            struct q4_pair q = q4_unit(rows[i], &tile, u, tile.units);
            __m256 scale = _mm256_broadcast_ss(plan->scales + i);
            sum.even = q4_mul_add(scale, q.even, sum.even, false);
            sum.odd = q4_mul_add(scale, q.odd, sum.odd, false);
        }
        sum = q4_ordered(sum);
        _mm256_store_ps(sums + (size_t)u * Q4_UNIT, sum.even);
        _mm256_store_ps(sums + (size_t)u * Q4_UNIT + LANES, sum.odd);
    }
}

/* ---- as integers ----------------------------------------------------- */

static bool make_digits(const float *scales, size_t n, int e,
                        struct q4_digits *digits)
{
    const __m256 factor = _mm256_set1_ps(q4_power(Q4_SCALE_BITS - e));
    const __m256i half = _mm256_set1_epi32(0x808080);
    const __m256i transpose = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m256i any = _mm256_setzero_si256();

    for (size_t i = 0; i < n; i += LANES) {
        __m256 t = load_some(scales + i, n - i);
        __m256i whole = _mm256_cvtps_epi32(_mm256_mul_ps(t, factor));
        any = _mm256_or_si256(any, whole);
        whole = _mm256_xor_si256(_mm256_add_epi32(whole, half), half);
        _mm256_store_si256((void *)(digits + i),
                           _mm256_shuffle_epi8(whole, transpose));
    }
    return !_mm256_testz_si256(any, _mm256_set1_epi32(0xff));
}

/* Sums of digit d: of low and of high nibbles, 4 vectors each. */
struct integer_sums {
    __m256i low[4];
    __m256i high[4];
};

Q4_INLINE __m256i dot(__m256i sum, __m256i codes, __m256i weights)
{
    __m256i pairs = _mm256_maddubs_epi16(codes, weights);
    return _mm256_add_epi32(sum,
                            _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

Q4_INLINE void add_digits(const __m256i *bytes, const struct q4_digits *digits,
                          const unsigned first_digit, struct integer_sums *sums)
{
    const __m256i nibble = _mm256_set1_epi8(0xf);
#pragma GCC unroll 4
    for (unsigned k = 0; k < 4; k++) {
        __m256i low = _mm256_and_si256(bytes[k], nibble);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes[k], 4), nibble);
#pragma GCC unroll 3
        for (unsigned d = first_digit; d < 3; d++) {
            __m256i weights = _mm256_set1_epi32((int)digits[d].of_four);
            sums[d].low[k] = dot(sums[d].low[k], low, weights);
            sums[d].high[k] = dot(sums[d].high[k], high, weights);
        }
    }
}

/* Up to 32 bytes of four rows; the mask is of four bytes a lane, and may take
 * in some of the scale and bias behind the codes. */
Q4_INLINE void add_four(const uint8_t *const *rows, size_t at,
                        const struct q4_digits *digits,
                        const unsigned first_digit, const bool masked,
                        __m256i mask, struct integer_sums *sums)
{
    __m256i r[4];
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        const void *from = rows[i] + at;
        r[i] = masked ? _mm256_maskload_epi32(from, mask)
                      : _mm256_loadu_si256(from);
    }
    __m256i low01 = _mm256_unpacklo_epi8(r[0], r[1]);
    __m256i high01 = _mm256_unpackhi_epi8(r[0], r[1]);
    __m256i low23 = _mm256_unpacklo_epi8(r[2], r[3]);
    __m256i high23 = _mm256_unpackhi_epi8(r[2], r[3]);
    __m256i bytes[4] = {_mm256_unpacklo_epi16(low01, low23),
                        _mm256_unpackhi_epi16(low01, low23),
                        _mm256_unpacklo_epi16(high01, high23),
                        _mm256_unpackhi_epi16(high01, high23)};
    add_digits(bytes, digits, first_digit, sums);
}

/* The whole sums as floats, rounded once, times the unit. */
Q4_INLINE __m256 to_float(const __m256i *digit, const unsigned first_digit,
                          int unit)
{
    if (first_digit == 1) {
        __m256i whole =
            _mm256_add_epi32(_mm256_slli_epi32(digit[2], 8), digit[1]);
        return _mm256_mul_ps(_mm256_cvtepi32_ps(whole),
                             _mm256_set1_ps(q4_power(unit + 8)));
    }
    __m256i rest = _mm256_add_epi32(_mm256_slli_epi32(digit[1], 8), digit[0]);
    __m256d low = _mm256_set1_pd((double)q4_power(unit));
    __m256d high = _mm256_mul_pd(low, _mm256_set1_pd(65536));
    __m256d a = _mm256_fmadd_pd(
        _mm256_cvtepi32_pd(_mm256_castsi256_si128(digit[2])), high,
        _mm256_mul_pd(_mm256_cvtepi32_pd(_mm256_castsi256_si128(rest)), low));
    __m256d b = _mm256_fmadd_pd(
        _mm256_cvtepi32_pd(_mm256_extracti128_si256(digit[2], 1)), high,
        _mm256_mul_pd(_mm256_cvtepi32_pd(_mm256_extracti128_si256(rest, 1)),
                      low));
    return _mm256_set_m128(_mm256_cvtpd_ps(b), _mm256_cvtpd_ps(a));
}

/* Vector k holds bytes 4k to 4k + 3 of each 16. */
Q4_INLINE void write_sums(const struct integer_sums *sums,
                          const unsigned first_digit, int e, float *out)
{
#pragma GCC unroll 4
    for (unsigned k = 0; k < 4; k++) {
        __m256i low[3];
        __m256i high[3];
        for (unsigned d = first_digit; d < 3; d++) {
            low[d] = sums[d].low[k];
            high[d] = sums[d].high[k];
        }
        int unit = e - Q4_SCALE_BITS;
        struct q4_pair pair =
            q4_ordered((struct q4_pair){to_float(low, first_digit, unit),
                                        to_float(high, first_digit, unit)});
        _mm256_store_ps(out + (size_t)k * LANES, pair.even);
        _mm256_store_ps(out + 32 + (size_t)k * LANES, pair.odd);
    }
}

/* 64 columns from byte `at` of the rows on. */
Q4_INLINE void integer_tile(const struct kernel_job *job,
                            const struct q4_plan *plan, size_t at,
                            const unsigned first_digit, const bool masked,
                            __m256i mask, float *out)
{
    struct integer_sums sums[3];

#pragma GCC unroll 3
    for (unsigned d = first_digit; d < 3; d++) {
#pragma GCC unroll 4
        for (unsigned k = 0; k < 4; k++) {
            sums[d].low[k] = sums[d].high[k] = _mm256_setzero_si256();
        }
    }
    for (size_t i = 0; i < plan->n; i += 4) {
        if (at == job->col / 2) {
            kernel_prefetch_ahead(job, plan->first + i, 4);
        }
        add_four(job->rows + plan->first + i, at, plan->digits + i, first_digit,
                 masked, mask, sums);
    }
    write_sums(sums, first_digit, plan->exponent, out);
}

#define TILE_FUNCTION(name, first_digit, masked)                               \
    static void name(const struct kernel_job *job, const struct q4_plan *plan, \
                     size_t at, __m256i mask, float *out)                      \
    {                                                                          \
        integer_tile(job, plan, at, first_digit, masked, mask, out);           \
    }
TILE_FUNCTION(tile_of_2, 1, false)
TILE_FUNCTION(tile_of_2_masked, 1, true)
TILE_FUNCTION(tile_of_3, 0, false)
TILE_FUNCTION(tile_of_3_masked, 0, true)

static void sum_as_integers(const struct kernel_job *job,
                            const struct q4_plan *plan, float *sums)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    size_t end = q4_code_bytes(job->dim);

    for (uint32_t j = 0; j < job->width; j += 64) {
        size_t at = (job->col + j) / 2;
        bool masked = end - at < 32;
        int words = masked ? (int)(end - at + 3) / 4 : LANES;
        __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(words), lanes);
        if (plan->low_digits) {
            (masked ? tile_of_3_masked : tile_of_3)(job, plan, at, mask,
                                                    sums + j);
        } else {
            (masked ? tile_of_2_masked : tile_of_2)(job, plan, at, mask,
                                                    sums + j);
        }
    }
}

/* ---- bags ------------------------------------------------------------ */

/* Values from j on, with the bias, the state taken up, and divided. */
Q4_INLINE __m256 result_of(const struct kernel_job *job, const float *sums,
                           uint32_t j, float bias, float divisor)
{
    __m256 value =
        _mm256_add_ps(_mm256_load_ps(sums + j), _mm256_set1_ps(bias));
    if (job->resume) {
        value = _mm256_add_ps(_mm256_load_ps(job->sums->values + j), value);
    }
    if (job->suspend) {
        _mm256_store_ps(job->sums->values + j, value);
    }
    return divisor > 0 ? _mm256_div_ps(value, _mm256_set1_ps(divisor)) : value;
}

static void finish(const struct kernel_job *job, const float *sums, float bias,
                   float divisor, uint8_t *out)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;

    for (uint32_t j = 0; j < job->width; j += Q4_UNIT) {
        struct q4_pair values = {
            result_of(job, sums, j, bias, divisor),
            result_of(job, sums, j + LANES, bias, divisor)};
        if (!job->suspend) {
            q4_store(out + j * value_bytes, job->dtype, values, job->width - j);
        }
    }
}

static unsigned sum_some(const struct kernel_job *job,
                         const struct q4_plan *plans, size_t n_bags,
                         struct q4_sums *sums)
{
    (void)n_bags;
    sums->stride = KERNEL_TILE_MAX;
    if (plans->integers) {
        sum_as_integers(job, plans, sums->values);
    } else {
        sum_as_floats(job, plans, sums->values);
    }
    return 1;
}

#include "quant/kernel/q4_sum_template.h"

void nb_q4_sum_avx2(const struct kernel_job *job)
{
    if (q4_too_short(job)) {
        nb_q4_sum_scalar(job);
        return;
    }
    sum_bags(job);
}
