/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The decode, sum and max of a codec with one instruction set, in units of 16
 * columns. Parameters, defined before:
 *   OPS_CODEC    name in codecs.def
 *   OPS_BIASED   1 if rows have a scale and a bias; 0: values are the levels
 *   all of ops_units_<isa>.h, where `unit` is 16 lanes
 *   struct tile  where columns lie in a row; has a member `unsigned units`
 *   static bool tile_init(struct tile *, job, col, width)
 *                false if a row is too short: the scalar kernel does it
 *   struct row   an open row; has float members `scale` and `bias`
 *   static struct row row_open(job, const struct tile *, const uint8_t *)
 *                scale 1 and bias 0 if not biased
 *   static void row_begin(struct row *, const bool whole)
 *                readies for row_unit; scale and bias are final
 *   static OPS_UNIT row_unit(const struct row *, const struct tile *,
 *                            const unsigned u, const bool last,
 *                            const bool whole)
 *                scale x levels of unit u, if `whole` plus bias; columns past
 *                the tile's width may be anything
 *   static OPS_UNIT unit_ordered(OPS_UNIT)
 *                puts a unit's lanes in the order of columns
 */
#define OPS_PASTE2(codec, op, isa) nb_##codec##_##op##_##isa
#define OPS_PASTE(codec, op, isa)  OPS_PASTE2(codec, op, isa)
#define OPS_KERNEL(op)             OPS_PASTE(OPS_CODEC, op, OPS_ISA)
#define OPS_SCALAR(op)             OPS_PASTE(OPS_CODEC, op, scalar)

/* ---- decode ---------------------------------------------------------- */

static void ops_decode_row(const struct kernel_job *job,
                           const struct tile *tile, const uint8_t *bytes,
                           uint8_t *out)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;
    struct row row = row_open(job, tile, bytes);
    unsigned u = 0;

    row_begin(&row, true);
    for (; u + 1 < tile->units; u++) {
        q4_store(out + u * 16 * value_bytes, job->dtype,
                 unit_ordered(row_unit(&row, tile, u, false, true)), 16);
    }
    q4_store(out + u * 16 * value_bytes, job->dtype,
             unit_ordered(row_unit(&row, tile, u, true, true)),
             job->dim - u * 16);
}

void OPS_KERNEL(decode)(const struct kernel_job *job)
{
    struct tile tile;
    uint8_t *out = job->out;

    if (!tile_init(&tile, job, 0, job->dim)) {
        OPS_SCALAR(decode)(job);
        return;
    }
    for (size_t i = 0; i < job->n_rows; i++) {
        kernel_prefetch_ahead(job, i, 1);
        ops_decode_row(job, &tile, job->rows[i], out);
        out += job->out_stride;
    }
}

/* ---- sum ------------------------------------------------------------- */

Q4_INLINE void ops_finish_sum(const struct kernel_job *job,
                              const struct kernel_result *result,
                              const OPS_UNIT *sums, const unsigned units)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;
#pragma GCC unroll 8
    for (unsigned u = 0; u < units; u++) {
        OPS_UNIT values = sums[u];
        if (job->resume) {
            values = ops_add(ops_load(job->sums->values + u * 16), values);
        }
        if (job->suspend) {
            ops_save(job->sums->values + u * 16, values);
            continue;
        }
        if (result->divisor > 0) {
            values = ops_divide(values, ops_spread(result->divisor));
        }
        q4_store(result->out + u * 16 * value_bytes, job->dtype,
                 unit_ordered(values), job->width - u * 16);
    }
}

Q4_INLINE void ops_sum_bag(const struct kernel_job *job,
                           const struct tile *tile,
                           const struct kernel_bag *bag,
                           const struct kernel_result *result,
                           const unsigned units)
{
    OPS_UNIT sums[OPS_MAX_UNITS];
    /* -0 + x is x, whatever its sign; only nothing at all is 0. */
    const float start = bag->n > 0 || job->resume ? -0.0f : 0.0f;
    float bias = start;

#pragma GCC unroll 8
    for (unsigned u = 0; u < units; u++) {
        sums[u] = ops_spread(start);
    }
    for (size_t i = 0; i < bag->n; i++) {
        kernel_prefetch_ahead(job, (size_t)(bag->rows - job->rows) + i, 1);
        struct row row = row_open(job, tile, bag->rows[i]);
        if (bag->weights != NULL) {
            row.scale = bag->weights[i] * row.scale;
            row.bias = bag->weights[i] * row.bias;
        }
        row_begin(&row, false);
#pragma GCC unroll 8
        for (unsigned u = 0; u < units; u++) {
            sums[u] = ops_add(sums[u],
                              row_unit(&row, tile, u, u + 1 == units, false));
        }
        bias += OPS_BIASED ? row.bias : 0;
    }
    if (OPS_BIASED) {
#pragma GCC unroll 8
        for (unsigned u = 0; u < units; u++) {
            sums[u] = ops_add(sums[u], ops_spread(bias));
        }
    }
    ops_finish_sum(job, result, sums, units);
}

/* ---- max ------------------------------------------------------------- */

/* ops_max() gives the second operand unless the first is greater. */
Q4_INLINE void ops_max_row(const struct kernel_job *job,
                           const struct tile *tile, const uint8_t *bytes,
                           OPS_UNIT *values, const unsigned units,
                           const bool first)
{
    struct row row = row_open(job, tile, bytes);

    row_begin(&row, true);
#pragma GCC unroll 8
    for (unsigned u = 0; u < units; u++) {
        OPS_UNIT unit = row_unit(&row, tile, u, u + 1 == units, true);
        values[u] = first ? unit : ops_max(unit, values[u]);
    }
}

Q4_INLINE void ops_max_bag(const struct kernel_job *job,
                           const struct tile *tile,
                           const struct kernel_bag *bag,
                           const struct kernel_result *result,
                           const unsigned units)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;
    OPS_UNIT values[OPS_MAX_UNITS];
    size_t i = 0;

    if (job->resume || bag->n == 0) {
#pragma GCC unroll 8
        for (unsigned u = 0; u < units; u++) {
            values[u] =
                job->resume ? ops_load(job->sums->values + u * 16) : ops_zero();
        }
    } else {
        ops_max_row(job, tile, bag->rows[i++], values, units, true);
    }
    for (; i < bag->n; i++) {
        kernel_prefetch_ahead(job, (size_t)(bag->rows - job->rows) + i, 1);
        ops_max_row(job, tile, bag->rows[i], values, units, false);
    }
#pragma GCC unroll 8
    for (unsigned u = 0; u < units; u++) {
        if (job->suspend) {
            ops_save(job->sums->values + u * 16, values[u]);
        } else {
            q4_store(result->out + u * 16 * value_bytes, job->dtype,
                     unit_ordered(values[u]), job->width - u * 16);
        }
    }
}

#include "quant/kernel/ops_bags_template.h"
