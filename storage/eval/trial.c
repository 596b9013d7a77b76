/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/eval/trial.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "quant/checked.h"
#include "storage/builder/error_sums.h"
#include "storage/parallel.h"
#include "storage/builder/table_train.h"

#define CHUNK_ROWS_MAX 1024u /* a job's; clocks are read twice a job */
#define JOBS_A_THREAD  8u    /* at least, so that none is waited for long */

struct trial_rows {
    const struct row_sample *sample;
    const float *values;  /* of the sample, or owned */
    const double *weight; /* likewise; NULL: all alike */
    float *own_values;
    double *own_weight;
    size_t n;
    struct bag_probe *probe;
};

/* ---- the rows ------------------------------------------------------------ */

/* Place in the sample of row i. */
static size_t place_of(const struct trial_rows *rows, size_t i)
{
    return (size_t)((unsigned __int128)i * rows->sample->n / rows->n);
}

/* Copies what is spread over the sample. */
static int copy_rows(struct trial_rows *rows)
{
    const struct row_sample *sample = rows->sample;
    size_t dim = sample->dim;
    rows->own_values = malloc(rows->n * dim * sizeof(float));
    rows->own_weight = malloc(rows->n * sizeof(double));
    if (rows->own_values == NULL || rows->own_weight == NULL) {
        return NB_ERR_NOMEM;
    }
    for (size_t i = 0; i < rows->n; i++) {
        size_t place = place_of(rows, i);
        memcpy(rows->own_values + i * dim, sample->values + place * dim,
               dim * sizeof(float));
        rows->own_weight[i] =
            sample->weight != NULL ? sample->weight[place] : 1;
    }
    rows->values = rows->own_values;
    rows->weight = sample->weight != NULL ? rows->own_weight : NULL;
    return 0;
}

/* Weights that are all 0 draw nothing. */
static const double *drawing_weights(const struct trial_rows *rows)
{
    for (size_t i = 0; rows->weight != NULL && i < rows->n; i++) {
        if (rows->weight[i] > 0) {
            return rows->weight;
        }
    }
    return NULL;
}

int trial_rows_create(const struct row_sample *sample, size_t n,
                      struct trial_rows **rows, struct nb_errctx *err)
{
    struct trial_rows *created = calloc(1, sizeof(*created));
    if (created == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "out of memory");
    }
    created->sample = sample;
    created->n = n;
    created->values = sample->values;
    created->weight = sample->weight;
    int rv = 0;
    if (n < sample->n && (rv = copy_rows(created)) != 0) {
        nb_fail(err, rv, "out of memory for %zu rows", n);
    }
    if (rv == 0) {
        rv = bag_probe_create(n, sample->dim, drawing_weights(created),
                              &created->probe, err);
    }
    if (rv != 0) {
        trial_rows_destroy(created);
        return rv;
    }
    bag_probe_show(created->probe, created->values, NULL, n);
    *rows = created;
    return 0;
}

void trial_rows_destroy(struct trial_rows *rows)
{
    if (rows != NULL) {
        bag_probe_destroy(rows->probe);
        free(rows->own_weight);
        free(rows->own_values);
        free(rows);
    }
}

size_t trial_rows_n(const struct trial_rows *rows)
{
    return rows->n;
}

/* ---- training ------------------------------------------------------------ */

/* Trains, and checks that the scales hold what is then stored of the source. */
static int train(const struct candidate *candidate,
                 const struct row_sample *sample, struct table_params *params)
{
    const struct train_job job = {
        .format = candidate->format,
        .search = candidate->search,
        .columns = candidate->columns,
    };
    size_t at;
    int rv = table_train_on(&job, sample, params);
    if (rv == 0) {
        rv = nb_check_values(&candidate->format, &params->view,
                             sample->extremes, 2, &at);
        if (rv != 0) {
            table_params_fini(params);
        }
    }
    return rv;
}

int trial_train(struct candidate *candidate, const struct row_sample *sample,
                struct table_params *params)
{
    struct candidate fitting = *candidate;
    int rv = candidate_fit(&fitting, sample->extremes);
    if (rv != 0) {
        return rv;
    }
    rv = train(&fitting, sample, params);
    /* Scaling columns can make values too large that were not. */
    if (rv == NB_ERR_OVERFLOW && fitting.format.scales == NB_SCALES_FP16 &&
        candidate_switch_scales(&fitting)) {
        rv = train(&fitting, sample, params);
    }
    if (rv == 0) {
        *candidate = fitting;
    }
    return rv;
}

/* ---- a trial ------------------------------------------------------------- */

/* What the threads share; each job writes its own rows. */
struct trial {
    const struct trial_rows *rows;
    const struct candidate *candidate;
    struct nb_rows encoded;
    uint8_t *bytes; /* of the encoded rows */
    float *decoded;
    struct nb_row_error *errors; /* a row */
    size_t chunk_rows;
    struct chunk {
        int rv;
        double encode_seconds;
        double decode_seconds;
    } * chunks;
    size_t n_chunks;
};

static double thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void run_chunk(void *arg, size_t i)
{
    struct trial *trial = arg;
    struct chunk *chunk = &trial->chunks[i];
    size_t dim = trial->candidate->format.dim;
    size_t stride = trial->encoded.stride;
    size_t first = i * trial->chunk_rows;
    size_t n = trial->rows->n - first;
    n = n < trial->chunk_rows ? n : trial->chunk_rows;
    const float *x = trial->rows->values + first * dim;
    float *y = trial->decoded + first * dim;

    double start = thread_seconds();
    chunk->rv = nb_encode(&trial->candidate->format, trial->encoded.params,
                          trial->candidate->search, x, n,
                          trial->bytes + first * stride, stride);
    double encoded = thread_seconds();
    if (chunk->rv == 0) {
        chunk->rv = nb_decode(&trial->encoded, first, n, NB_FP32, y);
    }
    chunk->decode_seconds = thread_seconds() - encoded;
    chunk->encode_seconds = encoded - start;
    for (size_t row = 0; row < n; row++) {
        nb_row_error(x + row * dim, y + row * dim, dim,
                     &trial->errors[first + row]);
    }
}

static int add_up(const struct trial *trial, struct trial_result *result)
{
    size_t n = trial->rows->n;
    uint32_t dim = trial->candidate->format.dim;
    double encode = 0;
    double decode = 0;
    for (size_t i = 0; i < trial->n_chunks; i++) {
        if (trial->chunks[i].rv != 0) {
            return trial->chunks[i].rv;
        }
        encode += trial->chunks[i].encode_seconds;
        decode += trial->chunks[i].decode_seconds;
    }
    struct loss_tally *tally = calloc(1, sizeof(*tally));
    if (tally == NULL) {
        return NB_ERR_NOMEM;
    }
    size_t block = block_rows(dim);
    for (size_t i = 0; i < n; i++) {
        double weight =
            trial->rows->weight != NULL ? trial->rows->weight[i] : 1;
        loss_tally_add(tally,
                       trial->rows->sample->rows[place_of(trial->rows, i)],
                       weight, &trial->errors[i]);
        if ((i + 1) % block == 0 || i + 1 == n) {
            loss_tally_end_block(tally);
        }
    }
    result->losses = loss_tally_losses(tally, dim);
    result->encode_seconds = encode / (double)n;
    result->decode_seconds = decode / (double)n;
    free(tally);
    return 0;
}

static int allocate(struct trial *trial, unsigned threads)
{
    size_t n = trial->rows->n;
    size_t dim = trial->candidate->format.dim;
    size_t chunk = n / ((size_t)threads * JOBS_A_THREAD) + 1;
    trial->chunk_rows = chunk < CHUNK_ROWS_MAX ? chunk : CHUNK_ROWS_MAX;
    trial->n_chunks = (n + trial->chunk_rows - 1) / trial->chunk_rows;
    uint64_t encoded_bytes;
    if (!checked_mul(n, trial->encoded.stride, &encoded_bytes)) {
        return NB_ERR_NOMEM;
    }
    trial->bytes = malloc(encoded_bytes);
    trial->decoded = malloc(n * dim * sizeof(float));
    trial->errors = calloc(n, sizeof(*trial->errors));
    trial->chunks = calloc(trial->n_chunks, sizeof(*trial->chunks));
    if (trial->bytes == NULL || trial->decoded == NULL ||
        trial->errors == NULL || trial->chunks == NULL) {
        return NB_ERR_NOMEM;
    }
    /* Faults of pages never touched would count as time of the codec. Not with
     * zeros: that would become a calloc(). */
    memset(trial->bytes, 0xff, encoded_bytes);
    memset(trial->decoded, 0xff, n * dim * sizeof(float));
    return 0;
}

static int run(struct trial *trial, const struct nb_params *params,
               unsigned threads, struct trial_result *result)
{
    const struct trial_rows *rows = trial->rows;
    const struct nb_format *format = &trial->candidate->format;
    int rv = nb_row_bytes(format, &result->row_bytes);
    trial->encoded = (struct nb_rows){.format = *format,
                                      .n_rows = rows->n,
                                      .stride = result->row_bytes,
                                      .params = params};
    if (rv == 0) {
        rv = allocate(trial, threads);
    }
    if (rv != 0) {
        return rv;
    }
    trial->encoded.base = trial->bytes;
    parallel_run(threads, trial->n_chunks, run_chunk, trial);
    rv = add_up(trial, result);
    if (rv == 0) {
        rv = bag_probe_measure(rows->probe, &trial->encoded, &result->bags);
    }
    if (table_params_any(params)) {
        result->table_bytes = table_params_bytes(format->dim, params);
    }
    return rv;
}

int trial_run(const struct trial_rows *rows, const struct candidate *candidate,
              const struct nb_params *params, unsigned threads,
              struct trial_result *result, struct nb_errctx *err)
{
    struct trial trial = {.rows = rows, .candidate = candidate};
    struct trial_result done = {0};
    int rv = run(&trial, params, threads, &done);
    if (rv == 0) {
        *result = done;
    } else {
        nb_fail(err, rv, "%s%s%s: %s", candidate->codec,
                candidate->search_name[0] != '\0' ? "/" : "",
                candidate->search_name, nb_strerror(rv));
    }
    free(trial.chunks);
    free(trial.errors);
    free(trial.decoded);
    free(trial.bytes);
    return rv;
}
