/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of q4 rows. Scales and biases of all rows of a job are collected first.
 * Blocks of many rows are summed as integers, eight rows and 64 columns at a
 * time: bytes of four rows are brought side by side, and vpdpbusd multiplies
 * them with four bytes of the scales and adds the products up. Two sums are
 * kept, of the low nibbles and of whole bytes, low + 16 high: no shifting.
 */

#include "quant/kernel/q4_avx512.h"
#include "quant/kernel/q4_block.h"

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
    kernel_prefetch_ahead(job, plan->first, plan->n);
    float_functions[tile.units - 1](rows, plan->n, &tile, plan->scales, sums);
}

/* ---- as integers ----------------------------------------------------- */

static bool make_digits(const float *scales, size_t n, int e,
                        struct q4_digits *digits)
{
    const __m512 factor = _mm512_set1_ps(q4_power(Q4_SCALE_BITS - e));
    const __m512i half = _mm512_set1_epi32(0x808080);
    const __m512i transpose = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i any = _mm512_setzero_si512();

    for (size_t i = 0; i < n; i += Q4_STEP) {
        __m512 t = _mm512_maskz_loadu_ps(q4_mask(n - i), scales + i);
        __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(t, factor));
        any = _mm512_or_si512(any, whole);
        whole = _mm512_xor_si512(_mm512_add_epi32(whole, half), half);
        _mm512_store_si512(digits + i, _mm512_shuffle_epi8(whole, transpose));
    }
    return _mm512_test_epi32_mask(any, _mm512_set1_epi32(0xff)) != 0;
}

/* Sums of digit d: of low nibbles and of bytes, 4 vectors each. */
struct integer_sums {
    __m512i low[4];
    __m512i byte[4];
};

Q4_INLINE __m512i two_rows(const uint8_t *first, const uint8_t *second,
                           const bool masked, __mmask32 mask)
{
    __m256i a = masked ? _mm256_maskz_loadu_epi8(mask, first)
                       : _mm256_loadu_si256((const void *)first);
    __m256i b = masked ? _mm256_maskz_loadu_epi8(mask, second)
                       : _mm256_loadu_si256((const void *)second);
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

/* sum += codes . weights, four bytes a lane. An intrinsic would be copied about
 * by the compiler, which does not see that the sum can stay where it is. */
Q4_INLINE void dot(__m512i *sum, __m512i codes, __m512i weights)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(codes), "v"(weights));
}

/* 32 bytes of eight rows: rows 0 to 3 in the low half, 4 to 7 in the high. */
Q4_INLINE void add_eight(const uint8_t *const *rows, size_t at,
                         const struct q4_digits *digits,
                         const unsigned first_digit, const bool masked,
                         __mmask32 mask, struct integer_sums *sums)
{
    __m512i r04 = two_rows(rows[0] + at, rows[4] + at, masked, mask);
    __m512i r15 = two_rows(rows[1] + at, rows[5] + at, masked, mask);
    __m512i r26 = two_rows(rows[2] + at, rows[6] + at, masked, mask);
    __m512i r37 = two_rows(rows[3] + at, rows[7] + at, masked, mask);
    __m512i low01 = _mm512_unpacklo_epi8(r04, r15);
    __m512i high01 = _mm512_unpackhi_epi8(r04, r15);
    __m512i low23 = _mm512_unpacklo_epi8(r26, r37);
    __m512i high23 = _mm512_unpackhi_epi8(r26, r37);
    __m512i bytes[4] = {_mm512_unpacklo_epi16(low01, low23),
                        _mm512_unpackhi_epi16(low01, low23),
                        _mm512_unpacklo_epi16(high01, high23),
                        _mm512_unpackhi_epi16(high01, high23)};
    __m512i both =
        _mm512_castsi256_si512(_mm256_loadu_si256((const void *)digits));
#pragma GCC unroll 3
    for (unsigned d = first_digit; d < 3; d++) {
        __m512i pick = _mm512_inserti64x4(_mm512_set1_epi32((int)d),
                                          _mm256_set1_epi32((int)d + 4), 1);
        __m512i weights = _mm512_permutexvar_epi32(pick, both);
#pragma GCC unroll 4
        for (unsigned k = 0; k < 4; k++) {
            __m512i low = _mm512_and_si512(bytes[k], _mm512_set1_epi8(0xf));
            dot(&sums[d].low[k], low, weights);
            dot(&sums[d].byte[k], bytes[k], weights);
        }
    }
}

/* Adds the halves of a and b: those of a come out low, those of b high. */
Q4_INLINE __m512i add_halves(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x44),
                            _mm512_shuffle_i64x2(a, b, 0xee));
}

/* top * 2^16 + rest * 2^8 or rest as floats, rounded once, times a power of 2:
 * exact in double. */
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

/* Sums of vectors 2h and 2h + 1: of low or of high nibbles, as floats. */
Q4_INLINE __m512 half_sums(const struct integer_sums *sums, const unsigned h,
                           const bool high, const unsigned first_digit, int e)
{
    __m512i digit[3] = {_mm512_setzero_si512()};
#pragma GCC unroll 3
    for (unsigned d = first_digit; d < 3; d++) {
        const struct integer_sums *s = &sums[d];
        __m512i low = add_halves(s->low[2 * h], s->low[2 * h + 1]);
        digit[d] = low;
        if (high) {
            __m512i byte = add_halves(s->byte[2 * h], s->byte[2 * h + 1]);
            digit[d] = _mm512_srai_epi32(_mm512_sub_epi32(byte, low), 4);
        }
    }
    int unit = e - Q4_SCALE_BITS;
    if (first_digit == 1) {
        __m512i whole =
            _mm512_add_epi32(_mm512_slli_epi32(digit[2], 8), digit[1]);
        return _mm512_mul_ps(_mm512_cvtepi32_ps(whole),
                             _mm512_set1_ps(q4_power(unit + 8)));
    }
    __m512i rest = _mm512_add_epi32(_mm512_slli_epi32(digit[1], 8), digit[0]);
    return wide_to_float(digit[2], rest, (double)q4_power(unit));
}

/* 64 columns from byte `at` of the rows on. Rows behind the last are those of
 * the next bags, times 0. */
Q4_INLINE void integer_tile(const struct kernel_job *job,
                            const struct q4_plan *plan, size_t at,
                            const unsigned first_digit, const bool masked,
                            __mmask32 mask, float *out)
{
    struct integer_sums sums[3];
    int e = plan->exponent;

#pragma GCC unroll 3
    for (unsigned d = first_digit; d < 3; d++) {
#pragma GCC unroll 4
        for (unsigned k = 0; k < 4; k++) {
            sums[d].low[k] = sums[d].byte[k] = _mm512_setzero_si512();
        }
    }
    for (size_t i = 0; i < plan->n; i += 8) {
        if (at == job->col / 2) {
            kernel_prefetch_ahead(job, plan->first + i, 8);
        }
        add_eight(job->rows + plan->first + i, at, plan->digits + i,
                  first_digit, masked, mask, sums);
    }
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 8, 24,
                                            9, 25, 10, 26, 11, 27);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(4));
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        __m512 low = half_sums(sums, h, false, first_digit, e);
        __m512 high = half_sums(sums, h, true, first_digit, e);
        _mm512_store_ps(out + 16 * h, _mm512_permutex2var_ps(low, first, high));
        _mm512_store_ps(out + 32 + 16 * h,
                        _mm512_permutex2var_ps(low, second, high));
    }
}

#define TILE_FUNCTION(name, first_digit, masked)                               \
    static void name(const struct kernel_job *job, const struct q4_plan *plan, \
                     size_t at, __mmask32 mask, float *out)                    \
    {                                                                          \
        integer_tile(job, plan, at, first_digit, masked, mask, out);           \
    }
TILE_FUNCTION(tile_of_2, 1, false)
TILE_FUNCTION(tile_of_2_masked, 1, true)
TILE_FUNCTION(tile_of_3, 0, false)
TILE_FUNCTION(tile_of_3_masked, 0, true)

/* Lane by lane, then halves onto each other. */
static float sum_of_biases(const float *biases, size_t n)
{
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        sum = _mm512_add_ps(sum,
                            _mm512_maskz_loadu_ps(q4_mask(n - i), biases + i));
    }
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sum),
                                 _mm512_extractf32x8_ps(sum, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight),
                             _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static uint32_t greatest_of(const float *scales, size_t n)
{
    __m512i greatest = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 16) {
        __m512i bits = _mm512_castps_si512(
            _mm512_maskz_loadu_ps(q4_mask(n - i), scales + i));
        bits = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
        greatest = _mm512_max_epu32(greatest, bits);
    }
    return _mm512_reduce_max_epu32(greatest);
}

static void sum_as_integers(const struct kernel_job *job,
                            const struct q4_plan *plan, float *sums)
{
    size_t end = q4_code_bytes(job->dim);

    for (uint32_t j = 0; j < job->width; j += 64) {
        size_t at = (job->col + j) / 2;
        size_t left = end - at;
        bool masked = left < 32;
        __mmask32 mask = masked ? ((__mmask32)1 << left) - 1 : UINT32_MAX;
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

Q4_INLINE void finish(const struct kernel_job *job, const float *values,
                      float bias, float divisor, uint8_t *out)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;
    __m512 biases = _mm512_set1_ps(bias);

    for (uint32_t j = 0; j < job->width; j += Q4_UNIT) {
        __m512 sum = _mm512_add_ps(_mm512_load_ps(values + j), biases);
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
