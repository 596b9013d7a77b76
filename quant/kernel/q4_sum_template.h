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
 * PLAN_FOUR(params, first, counts, digits, plans), if defined:
 *	Plans four bags of Q4_FEW rows or more, whose scales are finite, and
 *	returns the digits taken; 0 if it did not.
 * sum_some(job, plans, n_bags, sums):
 *	The job's columns of the first bags, without biases; returns how many
 *	bags it did. It prefetches.
 * finish(job, sums, bias, divisor, out):
 *	Results, or the state of a bag in parts. A divisor of 0 is none.
 */
#include "quant/kernel/q4_block.h"

/* From the first on: -0 + x is x, whatever its sign. So an empty part of a bag
 * changes nothing. */
static float sum_of_few(const struct kernel_job *job, const float *biases,
                        size_t n)
{
    float sum = n > 0 || job->resume ? -0.0f : 0.0f;
    for (size_t i = 0; i < n; i++) {
        sum += biases[i];
    }
    return sum;
}

/* Plans the n rows from the job's row `first` on; returns the digits taken. */
static size_t plan_bag(const struct kernel_job *job,
                       const struct q4_params *params, size_t first, size_t n,
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
    plan->bias = sum_of_few(job, biases, n);
    return 0;
}

#ifndef PLAN_FOUR
#define PLAN_FOUR(params, first, counts, digits, plans) 0
#endif

static void plan_bags(const struct kernel_job *job,
                      const struct q4_params *params, struct q4_digits *digits,
                      struct q4_plan *plans)
{
    const uint32_t *counts = job->counts;
    size_t first = 0;

    for (size_t b = 0; b < job->n_bags;) {
        size_t taken = 0;
        if (job->n_bags - b >= 4) {
            taken = PLAN_FOUR(params, first, counts + b, digits, plans + b);
        }
        size_t end = taken > 0 ? b + 4 : b + 1;
        if (taken == 0) {
            taken = plan_bag(job, params, first, counts[b], digits, &plans[b]);
        }
        digits += taken;
        for (; b < end; b++) {
            first += counts[b];
        }
    }
}

static void sum_bags(const struct kernel_job *job)
{
    struct q4_params params;
    _Alignas(64) struct q4_digits digits[Q4_MAX_DIGITS];
    struct q4_plan plans[KERNEL_BLOCK];
    struct q4_sums sums;
    size_t b = 0;

    collect(job, job->n_rows, &params);
    plan_bags(job, &params, digits, plans);
    while (b < job->n_bags) {
        unsigned n = sum_some(job, plans + b, job->n_bags - b, &sums);
        for (unsigned i = 0; i < n; i++, b++) {
            finish(job, sums.values + i * sums.stride, plans[b].bias,
                   job->lengths != NULL ? (float)job->lengths[b] : 0,
                   job->out + b * job->out_stride);
        }
    }
}
