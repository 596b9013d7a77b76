/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/builder/table_train.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "storage/builder/codebook_train.h"
#include "storage/builder/error_sums.h"

/* Rows that candidates are measured on. */
#define MEASURED_ROWS 4096

/* A column that hardly varies is not blown up: its scale is at least this part
 * of what the others have. */
#define LEAST_SCALE 0x1p-10

/* ---- columns ------------------------------------------------------------- */

static void train_mean(const struct row_sample *sample, float *mean)
{
    for (uint32_t j = 0; j < sample->dim; j++) {
        double sum = 0;
        for (size_t i = 0; i < sample->n; i++) {
            sum += (double)sample->values[i * sample->dim + j];
        }
        mean[j] = (float)(sum / (double)sample->n);
    }
}

/* Standard deviations; ones if there are none. */
static void train_scale(const struct row_sample *sample, const float *mean,
                        float *scale)
{
    double total = 0;
    for (uint32_t j = 0; j < sample->dim; j++) {
        double sum = 0;
        for (size_t i = 0; i < sample->n; i++) {
            double x = (double)sample->values[i * sample->dim + j];
            sum += (x - (double)mean[j]) * (x - (double)mean[j]);
        }
        double variance = sum / (double)sample->n;
        total += variance;
        scale[j] = (float)sqrt(variance);
    }
    float least = (float)(sqrt(total / sample->dim) * LEAST_SCALE);
    for (uint32_t j = 0; j < sample->dim; j++) {
        scale[j] = scale[j] > least ? scale[j] : least;
        if (!(scale[j] >= FLT_MIN) || !isfinite(scale[j])) {
            scale[j] = 1;
        }
    }
}

/* ---- candidates ---------------------------------------------------------- */

/* Parameters with this column transform, and the codebooks that go with it. */
static int train(const struct train_job *job, const struct row_sample *sample,
                 uint32_t columns, struct table_params *params)
{
    const struct codebook_job codebooks = {.format = job->format,
                                           .n_codebooks = job->n_codebooks,
                                           .values = sample->values,
                                           .n_rows = sample->n};
    bool scaled = columns == COLUMNS_SCALE;
    struct nb_params shape;
    int rv = codebook_shape(&codebooks, &shape);
    if (rv == 0) {
        rv = table_params_alloc(sample->dim, columns != COLUMNS_NONE, scaled,
                                shape.n_codebooks, shape.n_levels, params);
    }
    if (rv == 0 && columns != COLUMNS_NONE) {
        train_mean(sample, table_params_mean(params));
    }
    if (rv == 0 && scaled) {
        train_scale(sample, params->view.column_mean,
                    table_params_scale(params));
    }
    if (rv == 0) {
        rv = codebook_train(&codebooks, params);
        if (rv != 0) {
            table_params_fini(params);
        }
    }
    return rv;
}

/* Squared error of some rows, spread over the sample; infinite if they cannot
 * be encoded. `row` has room for one encoded row, `decoded` for one decoded. */
static double measure(const struct train_job *job,
                      const struct row_sample *sample,
                      const struct nb_params *params, uint8_t *row,
                      float *decoded)
{
    const struct nb_format *format = &job->format;
    struct nb_rows rows = {
        .format = *format, .base = row, .n_rows = 1, .params = params};
    size_t step = (sample->n + MEASURED_ROWS - 1) / MEASURED_ROWS;
    double sq_err = 0;
    if (nb_row_bytes(format, &rows.stride) != 0) {
        return INFINITY;
    }
    for (size_t i = 0; i < sample->n; i += step) {
        const float *x = sample->values + i * sample->dim;
        struct nb_row_error error;
        size_t at;
        if (nb_check_values(format, params, x, 1, &at) != 0 ||
            nb_encode(format, params, job->search, x, 1, row, rows.stride) !=
                0 ||
            nb_decode(&rows, 0, 1, NB_FP32, decoded) != 0) {
            return INFINITY;
        }
        nb_row_error(x, decoded, sample->dim, &error);
        sq_err += error.sq_err;
    }
    return sq_err;
}

/* The least loss; of equal ones the simplest. */
static int train_best(const struct train_job *job,
                      const struct row_sample *sample,
                      struct table_params *best)
{
    size_t row_bytes;
    int rv = nb_row_bytes(&job->format, &row_bytes);
    if (rv != 0) {
        return rv;
    }
    uint8_t *row = malloc(row_bytes);
    float *decoded = malloc(sample->dim * sizeof(*decoded));
    double least = INFINITY;
    rv = row != NULL && decoded != NULL ? 0 : NB_ERR_NOMEM;
    *best = (struct table_params){0};
    for (uint32_t c = COLUMNS_NONE; c <= COLUMNS_SCALE && rv == 0; c++) {
        struct table_params params;
        rv = train(job, sample, c, &params);
        if (rv != 0) {
            break;
        }
        double loss = measure(job, sample, &params.view, row, decoded);
        if (loss < least) {
            least = loss;
            table_params_fini(best);
            *best = params;
        } else {
            table_params_fini(&params);
        }
    }
    if (rv != 0) {
        table_params_fini(best);
    }
    free(decoded);
    free(row);
    return rv;
}

/* ---- a table ------------------------------------------------------------- */

bool table_train_needed(const struct train_job *job)
{
    struct nb_codec_traits traits = {0};
    (void)nb_codec_traits(job->format.codec, &traits);
    return job->columns != COLUMNS_NONE || traits.trained;
}

/* The caller's progress, of a first reading. */
static void show_training(void *arg, const struct progress *progress)
{
    const struct train_job *job = arg;
    struct progress training = *progress;
    training.training = true;
    if (job->progress != NULL) {
        job->progress(job->progress_arg, &training);
    }
}

int table_train_on(const struct train_job *job, const struct row_sample *sample,
                   struct table_params *params)
{
    return job->columns == COLUMNS_AUTO
               ? train_best(job, sample, params)
               : train(job, sample, job->columns, params);
}

int table_train(const struct train_job *job, struct source *source,
                struct table_params *params, struct nb_errctx *err)
{
    struct train_job copy = *job;
    const struct sample_options options = {
        .source = source, .progress = show_training, .progress_arg = &copy};
    struct row_sample sample;
    int rv = row_sample_take(&options, &sample, err);
    if (rv != 0) {
        return rv;
    }
    struct table_params trained;
    rv = table_train_on(job, &sample, &trained);
    row_sample_fini(&sample);
    if (rv != 0) {
        return nb_fail(err, rv, "training: %s", nb_strerror(rv));
    }
    rv = source_rewind(source, err);
    if (rv != 0) {
        table_params_fini(&trained);
        return rv;
    }
    *params = trained;
    return 0;
}
