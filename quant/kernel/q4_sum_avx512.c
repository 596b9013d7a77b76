/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of q4 rows, a tile of up to 16 units at a time, all its accumulators in
 * registers. The loop over rows is generated for every number of units.
 */

#include "quant/kernel/q4_avx512.h"

struct sum_state {
    __m512 values[KERNEL_TILE_MAX / Q4_UNIT];
    float bias;
    __m512i shifts;
    __m512i tail_shifts;
};

/* values += scale * codes. The table holds the 16 products, rounded. */
Q4_INLINE void add_row(struct sum_state *state, const struct q4_tile *tile,
                       const uint8_t *row, float scale, const unsigned units)
{
    __m512 table = _mm512_mul_ps(_mm512_set1_ps(scale), q4_codes());
    const uint8_t *codes = row + tile->at;
#pragma GCC unroll 16
    for (unsigned u = 0; u + 1 < units; u++) {
        __m512i at = q4_indices(codes + u * Q4_UNIT_BYTES, state->shifts);
        state->values[u] =
            _mm512_add_ps(state->values[u], _mm512_permutexvar_ps(at, table));
    }
    __m512i at = q4_indices(row + tile->tail_at, state->tail_shifts);
    state->values[units - 1] = _mm512_add_ps(state->values[units - 1],
                                             _mm512_permutexvar_ps(at, table));
}

Q4_INLINE void start(struct sum_state *state, const struct q4_tile *tile,
                     const struct kernel_sums *sums, bool resume,
                     const unsigned units)
{
    state->shifts = q4_shifts(0);
    state->tail_shifts = q4_shifts(tile->tail_shift);
    state->bias = resume ? sums->bias : 0;
#pragma GCC unroll 16
    for (unsigned u = 0; u < units; u++) {
        state->values[u] = resume ? _mm512_load_ps(sums->values + u * Q4_UNIT)
                                  : _mm512_setzero_ps();
    }
}

/* Four rows' scales are converted at once, and passed through memory: loading
 * one into all lanes takes no arithmetic port. */
Q4_INLINE void sum_units(const struct kernel_job *job,
                         const struct q4_tile *tile,
                         const struct kernel_bag *bag, struct kernel_sums *sums,
                         const unsigned units, const bool half,
                         const bool weighted)
{
    struct sum_state state;
    size_t i = 0;

    start(&state, tile, sums, bag->resume, units);
    for (; i + 4 <= bag->n; i += 4) {
        _Alignas(32) float params[8];
        __m256 p = q4_params4(bag->rows + i, tile->param_at, half);
        if (weighted) {
            __m256 w = _mm256_castps128_ps256(_mm_loadu_ps(bag->weights + i));
            p = _mm256_mul_ps(_mm256_permutevar8x32_ps(
                                  w, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
                              p);
        }
        _mm256_store_ps(params, p);
        __asm__("" : "+m"(params)); /* or the compiler shuffles registers */
#pragma GCC unroll 1
        for (unsigned j = 0; j < 4; j++) {
            q4_prefetch(bag->rows[i + j + KERNEL_AHEAD], tile, units,
                        job->row_bytes);
            add_row(&state, tile, bag->rows[i + j], params[2 * j], units);
            state.bias += params[2 * j + 1];
        }
    }
    for (; i < bag->n; i++) {
        __m128 p = q4_params(bag->rows[i], tile->param_at, half);
        if (weighted) {
            p = _mm_mul_ps(_mm_set1_ps(bag->weights[i]), p);
        }
        q4_prefetch(bag->rows[i + KERNEL_AHEAD], tile, units, job->row_bytes);
        add_row(&state, tile, bag->rows[i], _mm_cvtss_f32(p), units);
        state.bias += _mm_cvtss_f32(_mm_movehdup_ps(p));
    }
#pragma GCC unroll 16
    for (unsigned u = 0; u < units; u++) {
        _mm512_store_ps(sums->values + u * Q4_UNIT, state.values[u]);
    }
    sums->bias = state.bias;
}

#define FOR_UNITS(DO, half, weighted)                                          \
    DO(1, half, weighted)                                                      \
    DO(2, half, weighted)                                                      \
    DO(3, half, weighted)                                                      \
    DO(4, half, weighted)                                                      \
    DO(5, half, weighted)                                                      \
    DO(6, half, weighted)                                                      \
    DO(7, half, weighted)                                                      \
    DO(8, half, weighted)                                                      \
    DO(9, half, weighted)                                                      \
    DO(10, half, weighted)                                                     \
    DO(11, half, weighted)                                                     \
    DO(12, half, weighted)                                                     \
    DO(13, half, weighted)                                                     \
    DO(14, half, weighted)                                                     \
    DO(15, half, weighted)                                                     \
    DO(16, half, weighted)

#define FOR_SCALES(DO)                                                         \
    FOR_UNITS(DO, 1, 1)                                                        \
    FOR_UNITS(DO, 0, 1)                                                        \
    FOR_UNITS(DO, 1, 0)                                                        \
    FOR_UNITS(DO, 0, 0)

#define SUM_FUNCTION(units, half, weighted)                                    \
    static void sum_##units##_##half##_##weighted(                             \
        const struct kernel_job *job, const struct q4_tile *tile,              \
        const struct kernel_bag *bag, struct kernel_sums *sums)                \
    {                                                                          \
        sum_units(job, tile, bag, sums, units, half, weighted);                \
    }
FOR_SCALES(SUM_FUNCTION)

/* By scales as fp16 or not, weights or not, units less one. */
static void (*const sum_functions[2][2][KERNEL_TILE_MAX / Q4_UNIT])(
    const struct kernel_job *job, const struct q4_tile *tile,
    const struct kernel_bag *bag, struct kernel_sums *sums) = {
#define SUM_ENTRY(units, half, weighted)                                       \
    [half][weighted][(units)-1] = sum_##units##_##half##_##weighted,
    FOR_SCALES(SUM_ENTRY)};

Q4_INLINE void finish(const struct kernel_job *job,
                      const struct kernel_sums *sums,
                      const struct kernel_result *result)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;
    __m512 bias = _mm512_set1_ps(sums->bias);

    for (uint32_t j = 0; j < job->width; j += Q4_UNIT) {
        __m512 values = q4_ordered(_mm512_load_ps(sums->values + j));
        values = _mm512_add_ps(values, bias);
        if (result->divisor > 0) {
            values = _mm512_div_ps(values, _mm512_set1_ps(result->divisor));
        }
        q4_store(result->out + j * value_bytes, job->dtype, values,
                 job->width - j);
    }
}

void nb_q4_sum_avx512(const struct kernel_job *job)
{
    struct q4_tile tile;

    if (!q4_tile_init(&tile, job, job->col, job->width)) {
        nb_q4_sum_scalar(job);
        return;
    }
    bool half = job->scales == NB_SCALES_FP16;
    bool weighted = job->weights != NULL;
    void (*sum)(const struct kernel_job *, const struct q4_tile *,
                const struct kernel_bag *, struct kernel_sums *) =
        sum_functions[half][weighted][tile.units - 1];
#define SUM_BAG(j, bag, sums) sum(j, &tile, bag, sums)
    KERNEL_FOR_BAGS(job, SUM_BAG, finish);
}
