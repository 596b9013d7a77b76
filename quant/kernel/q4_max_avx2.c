/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The greatest of q4 rows, value by value; built like q4_sum_avx2.c. */

#include "quant/kernel/q4_avx2.h"

#define MAX_UNITS 4

/* maxps gives the second operand unless the first is greater. */
Q4_INLINE void max_row(const struct kernel_job *job, const struct q4_tile *tile,
                       const uint8_t *row, const unsigned units,
                       const bool first, struct q4_pair *values)
{
    bool half = job->scales == NB_SCALES_FP16;
    __m128 p = q4_params(row, tile->param_at, half);
    __m256 scale = _mm256_broadcastss_ps(p);
    __m256 bias = _mm256_broadcastss_ps(_mm_movehdup_ps(p));
#pragma GCC unroll 4
    for (unsigned u = 0; u < units; u++) {
        struct q4_pair q = q4_unit(row, tile, u, units);
        __m256 even = q4_mul_add(scale, q.even, bias, false);
        __m256 odd = q4_mul_add(scale, q.odd, bias, false);
        values[u].even = first ? even : _mm256_max_ps(even, values[u].even);
        values[u].odd = first ? odd : _mm256_max_ps(odd, values[u].odd);
    }
}

Q4_INLINE void max_units(const struct kernel_job *job,
                         const struct q4_tile *tile,
                         const struct kernel_bag *bag, struct kernel_sums *sums,
                         const unsigned units)
{
    struct q4_pair values[MAX_UNITS];
    size_t i = 0;

    if (bag->resume || bag->n == 0) {
#pragma GCC unroll 4
        for (unsigned u = 0; u < units; u++) {
            const float *from = sums->values + (size_t)u * Q4_UNIT;
            __m256 zero = _mm256_setzero_ps();
            values[u].even = bag->resume ? _mm256_load_ps(from) : zero;
            values[u].odd = bag->resume ? _mm256_load_ps(from + 8) : zero;
        }
    } else {
        max_row(job, tile, bag->rows[i++], units, true, values);
    }
    for (; i < bag->n; i++) {
        kernel_prefetch_ahead(job, (size_t)(bag->rows - job->rows) + i, 1);
        max_row(job, tile, bag->rows[i], units, false, values);
    }
#pragma GCC unroll 4
    for (unsigned u = 0; u < units; u++) {
        _mm256_store_ps(sums->values + (size_t)u * Q4_UNIT, values[u].even);
        _mm256_store_ps(sums->values + (size_t)u * Q4_UNIT + 8, values[u].odd);
    }
}

#define FOR_UNITS(DO)                                                          \
    DO(1)                                                                      \
    DO(2)                                                                      \
    DO(3)                                                                      \
    DO(4)

#define MAX_FUNCTION(units)                                                    \
    static void max_##units(                                                   \
        const struct kernel_job *job, const struct q4_tile *tile,              \
        const struct kernel_bag *bag, struct kernel_sums *sums)                \
    {                                                                          \
        max_units(job, tile, bag, sums, units);                                \
    }
FOR_UNITS(MAX_FUNCTION)

/* By units less one. */
static void (*const max_functions[MAX_UNITS])(const struct kernel_job *job,
                                              const struct q4_tile *tile,
                                              const struct kernel_bag *bag,
                                              struct kernel_sums *sums) = {
#define MAX_ENTRY(units) [(units)-1] = max_##units,
    FOR_UNITS(MAX_ENTRY)};

Q4_INLINE void finish(const struct kernel_job *job,
                      const struct kernel_sums *sums,
                      const struct kernel_result *result)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;

    for (uint32_t j = 0; j < job->width; j += Q4_UNIT) {
        const float *from = sums->values + j;
        q4_store(result->out + j * value_bytes, job->dtype,
                 q4_ordered((struct q4_pair){_mm256_load_ps(from),
                                             _mm256_load_ps(from + 8)}),
                 job->width - j);
    }
}

void nb_q4_max_avx2(const struct kernel_job *job)
{
    struct q4_tile tile;

    if (q4_too_short(job)) {
        nb_q4_max_scalar(job);
        return;
    }
    q4_tile_init(&tile, job, job->col, job->width);
#define MAX_BAG(j, bag, sums) max_functions[tile.units - 1](j, &tile, bag, sums)
    KERNEL_FOR_BAGS(job, MAX_BAG, finish);
}
