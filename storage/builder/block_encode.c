/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/builder/block_encode.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "quant/bytes.h"
#include "storage/table/table_params.h"

uint64_t zero_nonfinite(float *values, size_t n)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            values[i] = 0;
            count++;
        }
    }
    return count;
}

static int fail_value(const struct build_job *job, int rv, uint64_t row,
                      size_t column, float value, struct nb_errctx *err)
{
    uint64_t line_number = source_line(job->source, row);
    char line[40] = "";
    struct nb_codec_traits traits;
    if (line_number != 0) {
        snprintf(line, sizeof(line), " (line %" PRIu64 ")", line_number);
    }
    const char *advice = "beyond fp32 scales";
    if (rv == NB_ERR_NONFINITE) {
        advice = "not finite; --nan zero stores 0 instead";
    } else if (nb_codec_traits(job->format.codec, &traits) == 0 &&
               traits.other_scales == 0 &&
               job->format.scales == NB_SCALES_FP16) {
        advice = "beyond this codec's fp16 numbers; use --codec fp32";
    } else if (job->format.scales == NB_SCALES_FP16) {
        advice = job->params != NULL && job->params->column_scale != NULL
                     ? "beyond fp16 scales for its column; use --scales fp32 "
                       "or --columns center"
                     : "beyond fp16 scales; use --scales fp32";
    }
    return nb_fail(err, rv, "%s: row %" PRIu64 "%s, column %zu: %.9g is %s",
                   job->input, row, line, column, (double)value, advice);
}

static int check_values(const struct build_job *job, uint64_t first_row,
                        float *values, size_t n_rows, uint64_t *n_nonfinite,
                        struct nb_errctx *err)
{
    uint32_t dim = job->format.dim;
    size_t at;
    *n_nonfinite = 0;
    int rv = nb_check_values(&job->format, job->params, values, n_rows, &at);
    if (rv == NB_ERR_NONFINITE && job->nan_policy == NAN_ZERO) {
        *n_nonfinite = zero_nonfinite(values, n_rows * dim);
        rv = nb_check_values(&job->format, job->params, values, n_rows, &at);
    }
    if (rv == NB_ERR_NONFINITE || rv == NB_ERR_OVERFLOW) {
        return fail_value(job, rv, first_row + at / dim, at % dim, values[at],
                          err);
    }
    return rv == 0 ? 0
                   : nb_fail(err, rv, "%s: %s", job->input, nb_strerror(rv));
}

/* More rows than weights are an error, found elsewhere. */
static bool is_protected(const struct build_job *job, uint64_t row)
{
    return job->protection != NULL && row < job->protection->n_rows &&
           row_protection_has(job->protection, row);
}

/* Encodes what a row lost, y being the row decoded; y becomes the two of them
 * decoded. What is lost is without the columns' means; it is to be scaled. */
static int protect_row(const struct build_job *job, const struct nb_rows *row,
                       const float *x, float *y, uint8_t *residual)
{
    static const struct nb_protected_block first_only = {.bits = {1}};
    const struct nb_protected protect = {.blocks = &first_only,
                                         .residuals = residual,
                                         .n = 1,
                                         .stride = job->stride};
    struct nb_rows both = *row;
    struct nb_params params = {0};
    const float *scale = NULL;
    if (job->params != NULL) {
        params = *job->params;
        scale = params.column_scale;
        params.column_mean = params.column_scale = NULL;
    }
    for (uint32_t j = 0; j < job->format.dim; j++) {
        y[j] = scale != NULL ? (x[j] - y[j]) / scale[j] : x[j] - y[j];
    }
    int rv = nb_encode(&job->format, table_params_any(&params) ? &params : NULL,
                       job->search, y, 1, residual, job->stride);
    both.protect = &protect;
    return rv == 0 ? nb_decode(&both, 0, 1, NB_FP32, y) : rv;
}

int block_encode(const struct build_job *job, uint64_t first_row, float *values,
                 size_t n_rows, uint8_t *rows, uint8_t *residuals,
                 struct encode_result *result, struct nb_errctx *err)
{
    const struct nb_format *format = &job->format;
    *result = (struct encode_result){0};
    int rv =
        check_values(job, first_row, values, n_rows, &result->n_nonfinite, err);
    if (rv != 0) {
        return rv;
    }
    rv = nb_encode(format, job->params, job->search, values, n_rows, rows,
                   job->stride);
    struct nb_rows encoded = {.format = *format,
                              .n_rows = 1,
                              .stride = job->stride,
                              .params = job->params};
    float decoded[NB_DIM_MAX];
    for (size_t i = 0; i < n_rows && rv == 0; i++) {
        const float *x = values + i * format->dim;
        struct nb_row_error error;
        encoded.base = rows + i * job->stride;
        rv = nb_decode(&encoded, 0, 1, NB_FP32, decoded);
        if (rv == 0 && is_protected(job, first_row + i)) {
            rv = protect_row(job, &encoded, x, decoded,
                             residuals + result->n_residuals++ * job->stride);
        }
        if (rv == 0) {
            nb_row_error(x, decoded, format->dim, &error);
            error_sums_add_row(&result->sums, &error);
            result->n_lost += error.sq_err > error.sq_x;
        }
    }
    return rv == 0 ? 0
                   : nb_fail(err, rv, "%s: %s", job->input, nb_strerror(rv));
}

void block_put_keys(const struct build_job *job, const uint64_t *keys,
                    size_t n_rows, uint8_t *rows)
{
    size_t row_bytes = job->stride;
    (void)nb_row_bytes(&job->format, &row_bytes); /* the stride has room */
    for (size_t i = 0; i < n_rows; i++) {
        put_u64(rows + i * job->stride + row_bytes, keys[i]);
    }
}
