/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Sums of q4 rows, a tile of up to four units at a time: eight accumulators,
 * which leaves half the registers to compute with. */

#include "quant/kernel/q4_avx2.h"

#define MAX_UNITS 4

Q4_INLINE void sum_units(const struct kernel_job *job,
                         const struct q4_tile *tile,
                         const struct kernel_bag *bag, struct kernel_sums *sums,
                         const unsigned units, const bool half,
                         const bool weighted)
{
    const bool exact = half && !weighted; /* 11 bits times 4 */
    struct q4_pair values[MAX_UNITS];
    float bias = bag->resume ? sums->bias : 0;

#pragma GCC unroll 4
    for (unsigned u = 0; u < units; u++) {
        const float *from = sums->values + u * Q4_UNIT;
        __m256 zero = _mm256_setzero_ps();
        values[u].even = bag->resume ? _mm256_load_ps(from) : zero;
        values[u].odd = bag->resume ? _mm256_load_ps(from + 8) : zero;
    }
    for (size_t i = 0; i < bag->n; i++) {
        const uint8_t *row = bag->rows[i];
        __m128 p = q4_params(row, tile->param_at, half);
        if (weighted) {
            p = _mm_mul_ps(_mm_set1_ps(bag->weights[i]), p);
        }
        q4_prefetch(bag->rows[i + KERNEL_AHEAD], tile, units, job->row_bytes);
        __m256 scale = _mm256_broadcastss_ps(p);
#pragma GCC unroll 4
        for (unsigned u = 0; u < units; u++) {
            struct q4_pair q = q4_unit(row, tile, u, units);
            values[u].even = q4_mul_add(scale, q.even, values[u].even, exact);
            values[u].odd = q4_mul_add(scale, q.odd, values[u].odd, exact);
        }
        bias += _mm_cvtss_f32(_mm_movehdup_ps(p));
    }
#pragma GCC unroll 4
    for (unsigned u = 0; u < units; u++) {
        _mm256_store_ps(sums->values + u * Q4_UNIT, values[u].even);
        _mm256_store_ps(sums->values + u * Q4_UNIT + 8, values[u].odd);
    }
    sums->bias = bias;
}

#define FOR_UNITS(DO, half, weighted)                                          \
    DO(1, half, weighted)                                                      \
    DO(2, half, weighted)                                                      \
    DO(3, half, weighted)                                                      \
    DO(4, half, weighted)

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
static void (*const sum_functions[2][2][MAX_UNITS])(
    const struct kernel_job *job, const struct q4_tile *tile,
    const struct kernel_bag *bag, struct kernel_sums *sums) = {
#define SUM_ENTRY(units, half, weighted)                                       \
    [half][weighted][(units)-1] = sum_##units##_##half##_##weighted,
    FOR_SCALES(SUM_ENTRY)};

Q4_INLINE __m256 result_of(__m256 sum, float bias, float divisor)
{
    __m256 value = _mm256_add_ps(sum, _mm256_set1_ps(bias));
    return divisor > 0 ? _mm256_div_ps(value, _mm256_set1_ps(divisor)) : value;
}

Q4_INLINE void finish(const struct kernel_job *job,
                      const struct kernel_sums *sums,
                      const struct kernel_result *result)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;

    for (uint32_t j = 0; j < job->width; j += Q4_UNIT) {
        const float *from = sums->values + j;
        struct q4_pair values = q4_ordered(
            (struct q4_pair){_mm256_load_ps(from), _mm256_load_ps(from + 8)});
        values.even = result_of(values.even, sums->bias, result->divisor);
        values.odd = result_of(values.odd, sums->bias, result->divisor);
        q4_store(result->out + j * value_bytes, job->dtype, values,
                 job->width - j);
    }
}

void nb_q4_sum_avx2(const struct kernel_job *job)
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
