/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Sums of q4 rows: the specification, in plain C. */

#include <math.h>

#include "quant/kernel/q4_block.h"
#include "quant/kernel/q4_scalar.h"
#include "quant/kernel/store.h"

static void collect(const struct kernel_job *job, size_t n,
                    struct q4_params *params)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t *row = job->rows[i];
        kernel_prefetch_ahead(job, i, 1);
        params->scales[i] = q4_scale(row, job->dim, job->scales);
        params->biases[i] = q4_bias(row, job->dim, job->scales);
        if (job->weights != NULL) {
            params->scales[i] = job->weights[i] * params->scales[i];
            params->biases[i] = job->weights[i] * params->biases[i];
        }
    }
}

static float sum_of_biases(const float *biases, size_t n)
{
    float lanes[Q4_BIAS_LANES] = {0};

    for (size_t i = 0; i < n; i++) {
        lanes[i % Q4_BIAS_LANES] += biases[i];
    }
    for (size_t half = Q4_BIAS_LANES / 2; half > 0; half /= 2) {
        for (size_t l = 0; l < half; l++) {
            lanes[l] += lanes[l + half];
        }
    }
    return lanes[0];
}

static uint32_t survey(const float *scales, const float *biases, size_t n,
                       float *bias)
{
    uint32_t greatest = 0;

    for (size_t i = 0; i < n; i++) {
        /* collect() has set all n. NOLINTNEXTLINE(clang-analyzer-core*) */
        uint32_t bits = float_bits(scales[i]) & 0x7fffffffu;
        greatest = bits > greatest ? bits : greatest;
    }
    *bias = sum_of_biases(biases, n);
    return greatest;
}

static void sum_as_floats(const struct kernel_job *job,
                          const struct q4_plan *plan, float *sums)
{
    const uint8_t *const *rows = job->rows + plan->first;

    for (uint32_t j = 0; j < job->width; j++) {
        sums[j] = -0.0f; /* -0 + x is x */
    }
    for (size_t i = 0; i < plan->n; i++) {
        for (uint32_t j = 0; j < job->width; j++) {
            sums[j] += plan->scales[i] * (float)q4_code(rows[i], job->col + j);
        }
    }
}

/* The scalar kernel has no use for digits: scales are made where needed. */
static bool make_digits(const float *scales, size_t n, int e,
                        struct q4_digits *digits)
{
    (void)scales;
    (void)n;
    (void)e;
    (void)digits;
    return false;
}

/* At most KERNEL_BLOCK x 15 x 2^Q4_SCALE_BITS, 34 bits. */
static void sum_as_integers(const struct kernel_job *job,
                            const struct q4_plan *plan, float *sums)
{
    const uint8_t *const *rows = job->rows + plan->first;
    float factor = q4_power(Q4_SCALE_BITS - plan->exponent);
    double unit = (double)q4_power(plan->exponent - Q4_SCALE_BITS);
    int64_t wide[KERNEL_TILE_MAX] = {0};

    for (size_t i = 0; i < plan->n; i++) {
        int64_t scale = lrintf(plan->scales[i] * factor);
        for (uint32_t j = 0; j < job->width; j++) {
            wide[j] += scale * (int64_t)q4_code(rows[i], job->col + j);
        }
    }
    for (uint32_t j = 0; j < job->width; j++) {
        sums[j] = (float)((double)wide[j] * unit);
    }
}

static void finish(const struct kernel_job *job, const float *sums, float bias,
                   float divisor, uint8_t *out)
{
    for (uint32_t j = 0; j < job->width; j++) {
        float value = sums[j] + bias;
        if (job->resume) {
            value = job->sums->values[j] + value;
        }
        if (job->suspend) {
            job->sums->values[j] = value;
            continue;
        }
        store_value(out, job->dtype, j, divisor > 0 ? value / divisor : value);
    }
}

static unsigned sum_some(const struct kernel_job *job,
                         const struct q4_plan *plans, size_t n_bags,
                         struct q4_sums *sums)
{
    (void)n_bags;
    sums->stride = KERNEL_TILE_MAX;
    if (plans->integers) {
        sum_as_integers(job, plans, sums->values);
    } else {
        sum_as_floats(job, plans, sums->values);
    }
    return 1;
}

#include "quant/kernel/q4_sum_template.h"

void nb_q4_sum_scalar(const struct kernel_job *job)
{
    sum_bags(job);
}
