/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The greatest of q4 rows, value by value; built like q4_sum_avx512.c. */

#include "quant/kernel/q4_avx512.h"

struct max_state {
    __m512 values[KERNEL_TILE_MAX / Q4_UNIT];
    __m512i shifts;
    __m512i tail_shifts;
};

/* maxps gives the second operand unless the first is greater. */
Q4_INLINE void max_row(struct max_state *state, const struct kernel_job *job,
                       const struct q4_tile *tile, const uint8_t *row,
                       const unsigned units, const bool first)
{
    __m512 table = q4_row_values(job, tile, row);
#pragma GCC unroll 16
    for (unsigned u = 0; u < units; u++) {
        bool tail = u + 1 == units;
        __m512i at = q4_indices(
            row + (tail ? tile->tail_at : tile->at + (size_t)u * Q4_UNIT_BYTES),
            tail ? state->tail_shifts : state->shifts);
        __m512 values = _mm512_permutexvar_ps(at, table);
        state->values[u] =
            first ? values : _mm512_max_ps(values, state->values[u]);
    }
}

Q4_INLINE void max_units(const struct kernel_job *job,
                         const struct q4_tile *tile,
                         const struct kernel_bag *bag, struct kernel_sums *sums,
                         const unsigned units)
{
    struct max_state state;
    size_t i = 0;

    state.shifts = q4_shifts(0);
    state.tail_shifts = q4_shifts(tile->tail_shift);
    if (bag->resume || bag->n == 0) {
#pragma GCC unroll 16
        for (unsigned u = 0; u < units; u++) {
            state.values[u] =
                bag->resume ? _mm512_load_ps(sums->values + (size_t)u * Q4_UNIT)
                            : _mm512_setzero_ps();
        }
    } else {
        max_row(&state, job, tile, bag->rows[i++], units, true);
    }
    for (; i < bag->n; i++) {
        kernel_prefetch_ahead(job, (size_t)(bag->rows - job->rows) + i, 1);
        max_row(&state, job, tile, bag->rows[i], units, false);
    }
#pragma GCC unroll 16
    for (unsigned u = 0; u < units; u++) {
        _mm512_store_ps(sums->values + (size_t)u * Q4_UNIT, state.values[u]);
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

#define MAX_FUNCTION(units)                                                    \
    static void max_##units(                                                   \
        const struct kernel_job *job, const struct q4_tile *tile,              \
        const struct kernel_bag *bag, struct kernel_sums *sums)                \
    {                                                                          \
        max_units(job, tile, bag, sums, units);                                \
    }
FOR_UNITS(MAX_FUNCTION)

/* By units less one. */
static void (*const max_functions[KERNEL_TILE_MAX / Q4_UNIT])(
    const struct kernel_job *job, const struct q4_tile *tile,
    const struct kernel_bag *bag, struct kernel_sums *sums) = {
#define MAX_ENTRY(units) [(units)-1] = max_##units,
    FOR_UNITS(MAX_ENTRY)};

Q4_INLINE void finish(const struct kernel_job *job,
                      const struct kernel_sums *sums,
                      const struct kernel_result *result)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;

    for (uint32_t j = 0; j < job->width; j += Q4_UNIT) {
        q4_store(result->out + j * value_bytes, job->dtype,
                 q4_ordered(_mm512_load_ps(sums->values + j)), job->width - j);
    }
}

void nb_q4_max_avx512(const struct kernel_job *job)
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
