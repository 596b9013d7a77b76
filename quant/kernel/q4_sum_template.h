/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The walk over a job's bags, sum_bags(job), for one instruction set. First the
 * scales and biases of all rows are collected, then every bag is planned, then
 * summed: within a phase one bag does not wait for another. Parameters:
 * collect(job, n, params):
 *	Scales and biases of the job's n rows, times the weights.
 * survey(scales, biases, n, bias):
 *	Bits of the greatest absolute value of the scales; sum of the biases of
 *	a block summed in integers.
 * make_digits(scales, n, exponent, digits):
 *	Integers of the scales, in steps of 16; whether the lowest digits are
 *	not all 0.
 * sum_as_floats(job, plan, sums), sum_as_integers(job, plan, sums):
 *	The job's columns of a block, without biases. They prefetch.
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

/* Plans the n rows from the job's row `first` on; returns the digits taken. */
static size_t plan_bag(const struct q4_params *params, size_t first, size_t n,
                       struct q4_digits *digits, struct q4_plan *plan)
{
    const float *scales = params->scales + first;
    const float *biases = params->biases + first;

    *plan = (struct q4_plan){
        .first = first, .n = n, .scales = scales, .digits = digits};
    if (n >= Q4_FEW) {
        uint32_t greatest = survey(scales, biases, n, &plan->bias);
        if (q4_is_finite(greatest)) {
            plan->integers = true;
            plan->exponent = q4_exponent(greatest);
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
        digits += plan_bag(params, first, job->counts[b], digits, &plans[b]);
        first += job->counts[b];
    }
}

static void sum_bags(const struct kernel_job *job)
{
    struct q4_params params;
    _Alignas(64) struct q4_digits digits[Q4_MAX_DIGITS];
    struct q4_plan plans[KERNEL_BLOCK];
    _Alignas(64) float sums[KERNEL_TILE_MAX];
    uint8_t *out = job->out;

    collect(job, job->n_rows, &params);
    plan_bags(job, &params, digits, plans);
    for (size_t b = 0; b < job->n_bags; b++) {
        if (plans[b].integers) {
            sum_as_integers(job, &plans[b], sums);
        } else {
            sum_as_floats(job, &plans[b], sums);
        }
        finish(job, sums, plans[b].bias,
               job->lengths != NULL ? (float)job->lengths[b] : 0, out);
        out += job->out_stride;
    }
}
