/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Sums of q4 rows. Scales and biases of all rows of a job are collected first;
 * blocks of many rows are then summed as integers, others as floats. */

#include "quant/kernel/q4_avx512.h"
#include "quant/kernel/q4_block.h"
#include "quant/kernel/q4_integer_avx512.h"
#include "quant/kernel/q4_plan_avx512.h"

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

/* The 16 products of a row are made once; codes look them up. Sums start from
 * -0, which gives way to whatever is added. */
Q4_INLINE void float_units(const uint8_t *const *rows, size_t n,
                           const struct q4_tile *tile, const float *scales,
                           float *sums, const unsigned units)
{
    __m512 values[KERNEL_TILE_MAX / Q4_UNIT];
    __m512i shifts = q4_shifts(0);
    __m512i tail_shifts = q4_shifts(tile->tail_shift);

#pragma GCC unroll 16
    for (unsigned u = 0; u < units; u++) {
        values[u] = _mm512_set1_ps(-0.0f);
    }
    for (size_t i = 0; i < n; i++) {
        const uint8_t *row = rows[i];
        __m512 table = _mm512_mul_ps(_mm512_set1_ps(scales[i]), q4_codes());
#pragma GCC unroll 16
        for (unsigned u = 0; u < units; u++) {
            bool tail = u + 1 == units;
            size_t at =
                tail ? tile->tail_at : tile->at + (size_t)u * Q4_UNIT_BYTES;
            __m512i index = q4_indices(row + at, tail ? tail_shifts : shifts);
            values[u] =
                _mm512_add_ps(values[u], _mm512_permutexvar_ps(index, table));
        }
    }
#pragma GCC unroll 16
    for (unsigned u = 0; u < units; u++) {
        _mm512_store_ps(sums + (size_t)u * Q4_UNIT, q4_ordered(values[u]));
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

#define TILE_FUNCTION(name, strands, together, first_digit, masked)            \
    static void name(const struct kernel_job *job, const struct strand *from,  \
                     size_t at, size_t ahead, __mmask64 mask, float *out)      \
    {                                                                          \
        const struct tile_shape shape = {strands, together, first_digit,       \
                                         masked, mask};                        \
        integer_tile(job, from, at, ahead, shape, out);                        \
    }

#define TILE_FUNCTIONS(name, strands, together)                                \
    TILE_FUNCTION(name##_3, strands, together, 0, false)                       \
    TILE_FUNCTION(name##_3_masked, strands, together, 0, true)                 \
    TILE_FUNCTION(name##_2, strands, together, 1, false)                       \
    TILE_FUNCTION(name##_2_masked, strands, together, 1, true)

#define TILE_ENTRIES(name)                                                     \
    {                                                                          \
        {name##_3, name##_3_masked},                                           \
        {                                                                      \
            name##_2, name##_2_masked                                          \
        }                                                                      \
    }

TILE_FUNCTIONS(one_of_one, 1, true)
TILE_FUNCTIONS(two_of_one, 2, true)
TILE_FUNCTIONS(four_of_one, 4, true)
TILE_FUNCTIONS(two_of_two, 2, false)
TILE_FUNCTIONS(four_of_four, 4, false)

/* By kind, two digits do, masked. */
enum tile_kind {
    ONE_OF_ONE,
    TWO_OF_ONE,
    FOUR_OF_ONE,
    TWO_OF_TWO,
    FOUR_OF_FOUR
};

static void (*const tile_functions[][2][2])(const struct kernel_job *job,
                                            const struct strand *strands,
                                            size_t at, size_t ahead,
                                            __mmask64 mask, float *out) = {
    [ONE_OF_ONE] = TILE_ENTRIES(one_of_one),
    [TWO_OF_ONE] = TILE_ENTRIES(two_of_one),
    [FOUR_OF_ONE] = TILE_ENTRIES(four_of_one),
    [TWO_OF_TWO] = TILE_ENTRIES(two_of_two),
    [FOUR_OF_FOUR] = TILE_ENTRIES(four_of_four)};

static void run_tile(const struct kernel_job *job, enum tile_kind kind,
                     const struct strand *strands, size_t at, size_t ahead,
                     bool low_digits, float *out)
{
    static const unsigned row_bytes[] = {[ONE_OF_ONE] = 64,
                                         [TWO_OF_ONE] = 32,
                                         [FOUR_OF_ONE] = 16,
                                         [TWO_OF_TWO] = 32,
                                         [FOUR_OF_FOUR] = 16};
    size_t left = q4_code_bytes(job->dim) - at;
    bool masked = left < row_bytes[kind];
    __mmask64 mask = masked ? ((__mmask64)1 << left) - 1 : UINT64_MAX;

    tile_functions[kind][!low_digits][masked](job, strands, at, ahead, mask,
                                              out);
}

static struct strand strand_of(const struct kernel_job *job,
                               const struct q4_plan *plan, size_t i, size_t n)
{
    return (struct strand){job->rows + plan->first + i, plan->digits + i, n,
                           plan->exponent};
}

/* Cuts a bag into n strands, of multiples of four rows. */
static void cut_bag(const struct kernel_job *job, const struct q4_plan *plan,
                    unsigned n, struct strand *strands)
{
    size_t fours = (size_t)4 * n;
    size_t part = (plan->n + fours - 1) / fours * 4;
    size_t i = 0;

    for (unsigned s = 0; s < n; s++) {
        size_t left = plan->n - i;
        size_t rows = left < part ? left : part;
        strands[s] = strand_of(job, plan, i, rows);
        i += rows;
    }
}

/* Tiles that are not the last are of VECTOR_COLUMNS: there is room for those
 * that every tile writes. */
static void sum_bag(const struct kernel_job *job, const struct q4_plan *plan,
                    float *sums)
{
    struct strand strands[4];
    uint32_t j = 0;

    while (j < job->width) {
        uint32_t left = job->width - j;
        enum tile_kind kind = left > 64   ? ONE_OF_ONE
                              : left > 32 ? TWO_OF_ONE
                                          : FOUR_OF_ONE;
        cut_bag(job, plan, 1u << kind, strands);
        run_tile(job, kind, strands, (job->col + j) / 2, plan->first,
                 plan->low_digits, sums + j);
        j += (uint32_t)VECTOR_COLUMNS >> kind;
    }
}

/* Bags side by side, in as many strands; the last may be left empty. */
static void sum_bags_together(const struct kernel_job *job,
                              const struct q4_plan *plans, unsigned n_bags,
                              unsigned n_strands, float *sums)
{
    struct strand strands[4];
    bool low_digits = false;

    for (unsigned s = 0; s < n_strands; s++) {
        const struct q4_plan *plan = &plans[s < n_bags ? s : 0];
        strands[s] = strand_of(job, plan, 0, s < n_bags ? plan->n : 0);
        low_digits = low_digits || plan->low_digits;
    }
    run_tile(job, n_strands == 2 ? TWO_OF_TWO : FOUR_OF_FOUR, strands,
             job->col / 2, plans[0].first, low_digits, sums);
}

/* How many bags go well together: all in integers, more than half of the
 * strands, and of lengths that do not differ too much. */
static unsigned group_of(const struct q4_plan *plans, size_t n_bags,
                         unsigned n_strands)
{
    size_t least = SIZE_MAX;
    size_t most = 0;
    unsigned n = 0;

    for (; n < n_strands && n < n_bags && plans[n].integers; n++) {
        least = plans[n].n < least ? plans[n].n : least;
        most = plans[n].n > most ? plans[n].n : most;
        if (most > 2 * least) {
            break;
        }
    }
    return 2 * n > n_strands ? n : 1;
}

/* Sums the first bags, and returns how many. */
static unsigned sum_some(const struct kernel_job *job,
                         const struct q4_plan *plans, size_t n_bags,
                         struct q4_sums *sums)
{
    unsigned n_strands = job->width <= 32 ? 4 : job->width <= 64 ? 2 : 1;
    unsigned n = group_of(plans, n_bags, n_strands);

    sums->stride = VECTOR_COLUMNS / n_strands;
    if (n > 1) {
        sum_bags_together(job, plans, n, n_strands, sums->values);
    } else if (plans->integers) {
        sum_bag(job, plans, sums->values);
    } else {
        sum_as_floats(job, plans, sums->values);
    }
    return n;
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

#define PLAN_FOUR plan_four
#include "quant/kernel/q4_sum_template.h"

void nb_q4_sum_avx512(const struct kernel_job *job)
{
    if (q4_too_short(job)) {
        nb_q4_sum_scalar(job);
        return;
    }
    sum_bags(job);
}
