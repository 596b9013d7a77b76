/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/columns.h"

#include "quant/codec/codec.h"
#include "quant/kernel/store.h"

#define TILE_VALUES 4096 /* 16 KiB: stays in the L1 cache */

_Static_assert(TILE_VALUES >= KERNEL_TILE_MAX, "a bag fits");

void columns_apply(const struct nb_params *params, uint32_t dim, const float *x,
                   size_t n_rows, float *z)
{
    const float *mean = params->column_mean;
    const float *scale = params->column_scale;

    for (size_t i = 0; i < n_rows; i++, x += dim, z += dim) {
        for (uint32_t j = 0; j < dim; j++) {
            float centered = x[j] - mean[j];
            z[j] = scale != NULL ? centered / scale[j] : centered;
        }
    }
}

void nb_any_columns_scalar(const struct kernel_columns *columns)
{
    const float *values = columns->values;
    uint8_t *out = columns->out;

    for (size_t i = 0; i < columns->n; i++) {
        for (uint32_t j = 0; j < columns->width; j++) {
            float value = values[j];
            if (columns->scale != NULL) {
                value = columns->scale[j] * value;
            }
            store_value(out, columns->dtype, j,
                        value + columns->shifts[i] * columns->mean[j]);
        }
        values += columns->width;
        out += columns->out_stride;
    }
}

void columns_init(struct columns *columns, const struct nb_rows *rows)
{
    const struct nb_params *params = rows->params;
    *columns = (struct columns){0};
    if (params_have_columns(params)) {
        columns->mean = params->column_mean;
        columns->scale = params->column_scale;
        columns->kernel = kernel_find(KERNEL_columns, CODEC_any);
    }
}

/* Weight of n rows in their order. */
static double weight_of(const float *shares, uint32_t n)
{
    double weight = 0;

    if (shares == NULL) {
        return n;
    }
    for (uint32_t i = 0; i < n; i++) {
        weight += (double)shares[i];
    }
    return weight;
}

bool columns_row_is_none(const uint8_t *row, size_t row_bytes)
{
    size_t i = 0;
    while (i < row_bytes && row[i] == 0) {
        i++;
    }
    return i == row_bytes;
}

/* How often the mean is in the result of bag b. */
static float shift_of(const struct columns *columns,
                      const struct kernel_job *job, bool max, size_t b)
{
    if (columns->rows) {
        return columns_row_is_none(job->rows[b], job->row_bytes) ? 0.0f : 1.0f;
    }
    if (max) {
        return job->resume || job->counts[b] > 0 ? 1.0f : 0.0f;
    }
    float shift = (float)columns->weight;
    return job->lengths != NULL && job->lengths[b] > 0
               ? shift / (float)job->lengths[b]
               : shift;
}

/* The first n bags of the job; returns their rows. */
static size_t run_bags(struct columns *columns, const struct kernel *kernel,
                       const struct kernel_job *job, size_t n)
{
    _Alignas(64) float tile[TILE_VALUES];
    float shifts[KERNEL_BLOCK];
    struct kernel_job part = *job;
    const float *shares =
        columns->shares != NULL ? columns->shares : job->weights;
    size_t n_rows = 0;

    part.n_bags = n;
    part.dtype = NB_FP32;
    part.out = (uint8_t *)tile;
    part.out_stride = job->width * sizeof(float);
    for (size_t b = 0; b < n; b++) {
        uint32_t count = job->counts[b];
        if (!job->resume) {
            columns->weight = 0;
        }
        columns->weight +=
            weight_of(shares != NULL ? shares + n_rows : NULL, count);
        shifts[b] = shift_of(columns, job, kernel->op == KERNEL_max, b);
        n_rows += count;
    }
    part.n_rows = n_rows;
    kernel_run(kernel, &part);
    if (!job->suspend) {
        const struct kernel_columns done = {
            .values = tile,
            .n = n,
            .width = job->width,
            .mean = columns->mean + job->col,
            .scale = columns->scale != NULL ? columns->scale + job->col : NULL,
            .shifts = shifts,
            .dtype = job->dtype,
            .out = job->out,
            .out_stride = job->out_stride,
        };
        kernel_run_columns(columns->kernel, &done);
    }
    return n_rows;
}

void columns_run(struct columns *columns, const struct kernel *kernel,
                 const struct kernel_job *job)
{
    struct kernel_job rest = *job;
    const float *shares = columns->shares;
    size_t most = TILE_VALUES / job->width;
    most = most < KERNEL_BLOCK ? most : KERNEL_BLOCK;

    while (rest.n_bags > 0) {
        size_t n = rest.n_bags < most ? rest.n_bags : most;
        size_t n_rows = run_bags(columns, kernel, &rest, n);
        size_t n_ahead = n_rows < rest.n_ahead ? n_rows : rest.n_ahead;
        rest.rows += n_rows;
        rest.n_rows -= n_rows;
        rest.ahead += n_ahead;
        rest.n_ahead -= n_ahead;
        rest.counts += n;
        columns->shares =
            columns->shares != NULL ? columns->shares + n_rows : NULL;
        rest.n_bags -= n;
        rest.weights = rest.weights != NULL ? rest.weights + n_rows : NULL;
        rest.lengths = rest.lengths != NULL ? rest.lengths + n : NULL;
        rest.out += n * rest.out_stride;
    }
    columns->shares = shares;
}

/* A row is a bag of its own under max. So rows wider than a tile need no more
 * memory than others. */
void columns_decode(struct columns *columns, const struct kernel *max,
                    const struct kernel_job *job)
{
    static const uint32_t ones[KERNEL_BLOCK] = {[0 ... KERNEL_BLOCK - 1] = 1};
    size_t value_bytes = nb_dtype_bytes(job->dtype);
    struct kernel_job tile = *job;

    columns->rows = true;
    tile.counts = ones;
    tile.n_bags = job->n_rows;
    for (uint32_t col = 0; col < job->dim; col += max->tile) {
        tile.col = col;
        tile.width = job->dim - col < max->tile ? job->dim - col : max->tile;
        tile.out = job->out + col * value_bytes;
        columns_run(columns, max, &tile);
        tile.n_ahead = 0;
    }
}
