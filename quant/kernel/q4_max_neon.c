/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The greatest of q4 rows, value by value; those of a tile in registers. */

#include "quant/kernel/q4_neon.h"

#define MAX_UNITS 4

/* Not vmaxq_f32(), which prefers NaNs, and 0 to -0. */
Q4_INLINE struct q4_values greater_of(struct q4_values a, struct q4_values b)
{
#pragma GCC unroll 4
    for (unsigned k = 0; k < 4; k++) {
        a.of[k] = vbslq_f32(vcgtq_f32(a.of[k], b.of[k]), a.of[k], b.of[k]);
    }
    return a;
}

Q4_INLINE void max_row(const struct kernel_job *job, const struct q4_tile *tile,
                       const uint8_t *row, const unsigned units,
                       const bool first, struct q4_values *values)
{
    bool half = job->scales == NB_SCALES_FP16;
    float32x2_t params = q4_params(row, tile->param_at, half);

#pragma GCC unroll 4
    for (unsigned u = 0; u < units; u++) {
        struct q4_values now =
            q4_decoded(q4_codes_of(q4_bytes(row, tile, u, units)), params);
        values[u] = first ? now : greater_of(now, values[u]);
    }
}

Q4_INLINE void max_units(const struct kernel_job *job,
                         const struct q4_tile *tile,
                         const struct kernel_bag *bag, struct kernel_sums *sums,
                         const unsigned units)
{
    const struct q4_values zeros = {{vdupq_n_f32(0)}};
    struct q4_values values[MAX_UNITS];
    size_t at = (size_t)(bag->rows - job->rows);
    size_t i = 0;

    if (bag->resume || bag->n == 0) {
#pragma GCC unroll 4
        for (unsigned u = 0; u < units; u++) {
            values[u] = bag->resume
                            ? q4_load(sums->values + (size_t)u * Q4_UNIT)
                            : zeros;
        }
    } else {
        kernel_prefetch_ahead(job, at, 1);
        max_row(job, tile, bag->rows[i++], units, true, values);
    }
    for (; i < bag->n; i++) {
        kernel_prefetch_ahead(job, at + i, 1);
        max_row(job, tile, bag->rows[i], units, false, values);
    }
#pragma GCC unroll 4
    for (unsigned u = 0; u < units; u++) {
        q4_put(sums->values + (size_t)u * Q4_UNIT, values[u]);
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

static void finish(const struct kernel_job *job, const struct kernel_sums *sums,
                   const struct kernel_result *result)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;

    for (uint32_t j = 0; j < job->width; j += Q4_UNIT) {
        q4_store(result->out + j * value_bytes, job->dtype,
                 q4_load(sums->values + j), job->width - j);
    }
}

void nb_q4_max_neon(const struct kernel_job *job)
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
