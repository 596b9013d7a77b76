/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/builder/codebook_train.h"

#include <stdlib.h>
#include <string.h>

#include "quant/columns.h"

/* Bounds of what is trained on: some hundred thousand values settle 32 levels
 * to a fraction of a percent, and some rows must be there for each codebook. */
#define TRAIN_VALUES      ((size_t)1 << 19)
#define TRAIN_ROWS_LEAST  ((size_t)1024)
#define ROWS_FOR_CODEBOOK ((size_t)32)

int codebook_shape(const struct codebook_job *job, struct nb_params *shape)
{
    struct nb_codec_traits traits;
    size_t work_bytes;
    int rv = nb_codec_traits(job->format.codec, &traits);

    *shape = (struct nb_params){0};
    if (rv != 0 || !traits.trained) {
        return rv == 0 && job->n_codebooks != 0 ? NB_ERR_INVALID : rv;
    }
    struct nb_training training = {.format = job->format,
                                   .n_rows = job->n_rows,
                                   .n_codebooks = job->n_codebooks};
    rv = nb_train_sizes(&training, shape, &work_bytes);
    size_t most = job->n_rows / ROWS_FOR_CODEBOOK + 1;
    if (rv == 0 && job->n_codebooks == 0 && shape->n_codebooks > most) {
        training.n_codebooks = (uint32_t)most;
        struct nb_params fewer;
        /* Unless it is their number that makes the codec. */
        if (nb_train_sizes(&training, &fewer, &work_bytes) == 0) {
            *shape = fewer;
        }
    }
    return rv;
}

static size_t rows_to_train(const struct codebook_job *job,
                            uint32_t n_codebooks)
{
    size_t n = TRAIN_VALUES / job->format.dim;
    size_t least = n_codebooks * ROWS_FOR_CODEBOOK;

    least = least > TRAIN_ROWS_LEAST ? least : TRAIN_ROWS_LEAST;
    n = n > least ? n : least;
    return n < job->n_rows ? n : job->n_rows;
}

/* n rows spread over the job's, as they are stored. */
static void collect(const struct codebook_job *job,
                    const struct nb_params *params, size_t n, float *z)
{
    size_t dim = job->format.dim;

    for (size_t i = 0; i < n; i++) {
        size_t row = (size_t)((unsigned __int128)i * job->n_rows / n);
        const float *x = job->values + row * dim;
        if (params->column_mean != NULL) {
            columns_apply(params, job->format.dim, x, 1, z + i * dim);
        } else {
            memcpy(z + i * dim, x, dim * sizeof(*z));
        }
    }
}

int codebook_train(const struct codebook_job *job, struct table_params *params)
{
    if (params->view.codebooks == NULL) {
        return 0;
    }
    size_t n = rows_to_train(job, params->view.n_codebooks);
    float *z = malloc(n * job->format.dim * sizeof(*z));
    const struct nb_training training = {
        .format = job->format,
        .z = z,
        .n_rows = n,
        .n_codebooks = params->view.n_codebooks,
    };
    struct nb_params shape;
    size_t work_bytes = 0;
    void *work = NULL;
    int rv = nb_train_sizes(&training, &shape, &work_bytes);
    if (rv == 0) {
        work = malloc(work_bytes);
        rv = z == NULL || work == NULL ? NB_ERR_NOMEM : 0;
    }
    if (rv == 0) {
        collect(job, &params->view, n, z);
        rv = nb_train(&training, work, table_params_codebooks(params));
    }
    free(work);
    free(z);
    return rv;
}
