/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The scalar decode, sum and max of a codec: the specification.
 * Parameters, defined before:
 *   OPS_CODEC    name in codecs.def
 *   OPS_BIASED   1 if rows have a scale and a bias; 0: values are the levels
 *   struct row   an open row; has float members `scale` and `bias`, if biased
 *   static struct row row_open(const struct kernel_job *, const uint8_t *)
 *   static float row_level(const struct row *, uint32_t column)
 * value = scale * level + bias.
 */
#include <string.h>

#include "quant/kernel/bags.h"
#include "quant/kernel/store.h"

#define OPS_PASTE2(codec, op) nb_##codec##_##op##_scalar
#define OPS_PASTE(codec, op)  OPS_PASTE2(codec, op)
#define OPS_KERNEL(op)        OPS_PASTE(OPS_CODEC, op)

static float row_value(const struct row *row, uint32_t column)
{
#if OPS_BIASED
    return row->scale * row_level(row, column) + row->bias;
#else
    return row_level(row, column);
#endif
}

static void ops_store(const struct kernel_job *job,
                      const struct kernel_result *result, uint32_t column,
                      float value)
{
    store_value(result->out, job->dtype, column, value);
}

void OPS_KERNEL(decode)(const struct kernel_job *job)
{
    struct kernel_result result = {job->out, 0};

    for (size_t i = 0; i < job->n_rows; i++) {
        struct row row = row_open(job, job->rows[i]);
        for (uint32_t j = 0; j < job->dim; j++) {
            ops_store(job, &result, j, row_value(&row, j));
        }
        result.out += job->out_stride;
    }
}

/* Without a scale, the weight stands in its place. Returns the sum of biases.
 */
static float ops_sum_rows(const struct kernel_job *job,
                          const uint8_t *const *rows, const float *weights,
                          size_t n, float *sums)
{
    /* -0 + x is x, whatever its sign; only nothing at all is 0. */
    const float start = n > 0 || job->resume ? -0.0f : 0.0f;
    float bias = start;

    for (uint32_t j = 0; j < job->width; j++) {
        sums[j] = start;
    }
    for (size_t i = 0; i < n; i++) {
        struct row row = row_open(job, rows[i]);
        float factor = weights != NULL ? weights[i] : 1.0f;
#if OPS_BIASED
        bias += factor * row.bias;
        factor = factor * row.scale;
#endif
        for (uint32_t j = 0; j < job->width; j++) {
            sums[j] += factor * row_level(&row, job->col + j);
        }
    }
    return bias;
}

static void ops_finish_sum(const struct kernel_job *job, const float *sums,
                           float bias, const struct kernel_result *result)
{
    for (uint32_t j = 0; j < job->width; j++) {
        float value = sums[j] + bias;
        if (job->resume) {
            value = job->sums->values[j] + value;
        }
        if (job->suspend) {
            job->sums->values[j] = value;
        } else {
            ops_store(job, result, j,
                      result->divisor > 0 ? value / result->divisor : value);
        }
    }
}

void OPS_KERNEL(sum)(const struct kernel_job *job)
{
    float sums[KERNEL_TILE_MAX];
    struct kernel_result result = {job->out, 0};
    size_t first = 0;

    for (size_t b = 0; b < job->n_bags; b++) {
        const float *weights =
            job->weights != NULL ? job->weights + first : NULL;
        float bias =
            ops_sum_rows(job, job->rows + first, weights, job->counts[b], sums);
        result.divisor = job->lengths != NULL ? (float)job->lengths[b] : 0;
        ops_finish_sum(job, sums, bias, &result);
        result.out += job->out_stride;
        first += job->counts[b];
    }
}

static void ops_max_rows(const struct kernel_job *job,
                         const struct kernel_bag *bag, struct kernel_sums *sums)
{
    if (bag->n == 0 && !bag->resume) {
        memset(sums->values, 0, sizeof(sums->values));
    }
    for (size_t i = 0; i < bag->n; i++) {
        struct row row = row_open(job, bag->rows[i]);
        bool first = i == 0 && !bag->resume;
        for (uint32_t j = 0; j < job->width; j++) {
            float value = row_value(&row, job->col + j);
            if (first || value > sums->values[j]) {
                sums->values[j] = value;
            }
        }
    }
}

static void ops_finish_max(const struct kernel_job *job,
                           const struct kernel_sums *sums,
                           const struct kernel_result *result)
{
    for (uint32_t j = 0; j < job->width; j++) {
        ops_store(job, result, j, sums->values[j]);
    }
}

void OPS_KERNEL(max)(const struct kernel_job *job)
{
    KERNEL_FOR_BAGS(job, ops_max_rows, ops_finish_max);
}
