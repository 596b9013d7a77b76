/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The walk over a job's bags, sum_bags(job), for one instruction set.
 * Parameters:
 * collect(job, n, params):
 *	Scales and biases of the job's n rows, times the weights; prefetches.
 * greatest_of(scales, n):
 *	Bits of the greatest absolute value.
 * sum_as_floats(job, rows, n, params, sums), sum_as_integers(.., exponent,
 * sums):
 *	The job's columns of a block, without biases; `params` are those of the
 *	block's rows.
 * sum_of_biases(biases, n):
 *	Of a block summed in integers.
 * finish(job, sums, bias, divisor, out):
 *	Results, or the state of a bag in parts. A divisor of 0 is none.
 */
#include "quant/kernel/q4_block.h"

static float sum_of_few(const float *biases, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += biases[i];
    }
    return sum;
}

/* Sums of n rows into `sums`; returns that of the biases. */
static float sum_block(const struct kernel_job *job, const uint8_t *const *rows,
                       size_t n, const struct q4_scaled *scaled, float *sums)
{
    if (n >= Q4_FEW) {
        uint32_t greatest = greatest_of(scaled->scales, n);
        if (q4_is_finite(greatest)) {
            sum_as_integers(job, rows, n, scaled->scales, q4_exponent(greatest),
                            sums);
            return sum_of_biases(scaled->biases, n);
        }
    }
    sum_as_floats(job, rows, n, scaled->scales, sums);
    return sum_of_few(scaled->biases, n);
}

static void sum_bags(const struct kernel_job *job)
{
    struct q4_params params;
    _Alignas(64) float sums[KERNEL_TILE_MAX];
    const uint8_t *const *rows = job->rows;
    struct q4_scaled scaled = {params.scales, params.biases};
    uint8_t *out = job->out;
    size_t n = 0;

    for (size_t b = 0; b < job->n_bags; b++) {
        n += job->counts[b];
    }
    collect(job, n, &params);
    for (size_t b = 0; b < job->n_bags; b++) {
        n = job->counts[b];
        float bias = sum_block(job, rows, n, &scaled, sums);
        finish(job, sums, bias, job->lengths ? (float)job->lengths[b] : 0, out);
        rows += n;
        scaled.scales += n;
        scaled.biases += n;
        out += job->out_stride;
    }
}
