/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The walk over a job's bags, sum_bags(job), for one instruction set. First the
 * scales and biases of all rows are collected, then every bag is planned, then
 * summed: within a phase one bag does not wait for another. Parameters:
 * collect(job, n, params):
 *	Scales and biases of the job's n rows, times the weights; prefetches.
 * greatest_of(scales, n):
 *	Bits of the greatest absolute value.
 * make_digits(scales, n, exponent, digits):
 *	Integers of the scales, in steps of 16; whether the lowest digits are
 *	not all 0.
 * sum_as_floats(job, rows, n, scales, sums),
 * sum_as_integers(job, rows, plan, digits, sums):
 *	The job's columns of a block, without biases.
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

/* Plans a bag of n rows; returns the digits it takes. */
static size_t plan_bag(const float *scales, const float *biases, size_t n,
                       struct q4_digits *digits, struct q4_plan *plan)
{
    *plan = (struct q4_plan){.n = n, .scales = scales, .digits = digits};
    if (n >= Q4_FEW) {
        uint32_t greatest = greatest_of(scales, n);
        if (q4_is_finite(greatest)) {
            plan->integers = true;
            plan->exponent = q4_exponent(greatest);
            plan->bias = sum_of_biases(biases, n);
            plan->low_digits = make_digits(scales, n, plan->exponent, digits);
            return (n + Q4_STEP - 1) / Q4_STEP * Q4_STEP;
        }
    }
    plan->bias = sum_of_few(biases, n);
    return 0;
}

static void plan_bags(const struct kernel_job *job,
                      const struct q4_params *params, struct q4_digits *digits,
                      struct q4_plan *plans)
{
    size_t first = 0;

    for (size_t b = 0; b < job->n_bags; b++) {
        size_t n = job->counts[b];
        digits += plan_bag(params->scales + first, params->biases + first, n,
                           digits, &plans[b]);
        first += n;
    }
}

static void sum_bags(const struct kernel_job *job)
{
    struct q4_params params;
    _Alignas(64) struct q4_digits digits[Q4_MAX_DIGITS];
    struct q4_plan plans[KERNEL_BLOCK];
    _Alignas(64) float sums[KERNEL_TILE_MAX];
    const uint8_t *const *rows = job->rows;
    uint8_t *out = job->out;
    size_t n = 0;

    for (size_t b = 0; b < job->n_bags; b++) {
        n += job->counts[b];
    }
    collect(job, n, &params);
    plan_bags(job, &params, digits, plans);
    for (size_t b = 0; b < job->n_bags; b++) {
        const struct q4_plan *plan = &plans[b];
        if (plan->integers) {
            sum_as_integers(job, rows, plan, sums);
        } else {
            sum_as_floats(job, rows, plan->n, plan->scales, sums);
        }
        finish(job, sums, plan->bias,
               job->lengths != NULL ? (float)job->lengths[b] : 0, out);
        rows += plan->n;
        out += job->out_stride;
    }
}
