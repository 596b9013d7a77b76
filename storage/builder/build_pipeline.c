/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/builder/build_pipeline.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "storage/builder/block_encode.h"
#include "storage/source/row_keys.h"

/* A block of the ring. Who works on it owns it without the lock: the reader,
 * then one encoder, then the caller. */
struct slot {
    float *values;
    uint64_t *keys; /* of a keyed table */
    size_t n_keys;  /* words seen so far */
    uint8_t *rows;
    uint8_t *residuals; /* NULL where no rows are protected */
    struct encoded_block block;
    bool encoded; /* under the lock */
    int rv;
    struct nb_errctx err;
};

/* Blocks are numbered; block i lives in slot i % n_slots. Under the lock:
 * n_taken <= n_claimed <= n_read <= n_taken + n_slots. */
struct build_pipeline {
    struct build_job job;
    size_t max_rows; /* of a block */
    struct slot *slots;
    size_t n_slots;
    pthread_mutex_t lock;
    pthread_cond_t room;    /* for the reader: n_taken grew, or stop */
    pthread_cond_t work;    /* for the encoders: n_read grew, or stop */
    pthread_cond_t encoded; /* for the caller */
    uint64_t n_read;        /* blocks given to the encoders */
    uint64_t n_claimed;     /* by encoders */
    uint64_t n_taken;       /* given back by the caller */
    bool all_read;
    bool stop;
    bool caller_has_block;
    pthread_t *threads; /* the reader, then the encoders */
    size_t n_threads;   /* running */
};

static struct slot *slot_at(struct build_pipeline *pipeline, uint64_t i)
{
    return &pipeline->slots[i % pipeline->n_slots];
}

/* ---- the reader ---------------------------------------------------------- */

static void take_word(void *arg, const char *word, size_t n)
{
    struct slot *slot = arg;
    slot->keys[slot->n_keys++] = table_word_key(word, n);
}

/* A block of rows, and their keys. */
static int read_rows(const struct build_job *job, size_t max_rows,
                     struct slot *slot)
{
    size_t *n = &slot->block.n_rows;
    bool words = job->keyed && job->keys == NULL;
    slot->n_keys = 0;
    int rv = words
                 ? source_watch_words(job->source, take_word, slot, &slot->err)
                 : 0;
    if (rv == 0) {
        rv = source_read(job->source, slot->values, max_rows, n, &slot->err);
    }
    if (rv == 0 && job->keys != NULL) {
        rv = row_keys_read(job->keys, *n, slot->keys, &slot->err);
    }
    if (rv == 0 && job->keys != NULL && *n < max_rows) {
        rv = row_keys_end(job->keys, &slot->err);
    }
    return rv;
}

static void read_block(struct build_pipeline *pipeline, struct slot *slot)
{
    struct source *source = pipeline->job.source;
    slot->encoded = false;
    slot->block = (struct encoded_block){.rows = slot->rows,
                                         .residuals = slot->residuals};
    slot->rv = read_rows(&pipeline->job, pipeline->max_rows, slot);
    if (slot->rv != 0) {
        slot->block.n_rows = 0;
    }
    slot->block.last = slot->block.n_rows < pipeline->max_rows;
    slot->block.source_bytes_read = source_bytes_read(source);
}

static void *reader_main(void *arg)
{
    struct build_pipeline *pipeline = arg;
    pthread_mutex_lock(&pipeline->lock);
    while (!pipeline->all_read) {
        while (!pipeline->stop &&
               pipeline->n_read - pipeline->n_taken == pipeline->n_slots) {
            pthread_cond_wait(&pipeline->room, &pipeline->lock);
        }
        if (pipeline->stop) {
            break;
        }
        struct slot *slot = slot_at(pipeline, pipeline->n_read);
        pthread_mutex_unlock(&pipeline->lock);
        read_block(pipeline, slot);
        pthread_mutex_lock(&pipeline->lock);
        pipeline->n_read++;
        if (slot->block.last) {
            pipeline->all_read = true;
            pthread_cond_broadcast(&pipeline->work);
        } else {
            pthread_cond_signal(&pipeline->work);
        }
    }
    pthread_mutex_unlock(&pipeline->lock);
    return NULL;
}

/* ---- the encoders -------------------------------------------------------- */

static void encode_block(struct build_pipeline *pipeline, uint64_t i,
                         struct slot *slot)
{
    if (slot->rv != 0 || slot->block.n_rows == 0) {
        return;
    }
    struct encode_result result;
    slot->rv = block_encode(&pipeline->job, i * pipeline->max_rows,
                            slot->values, slot->block.n_rows, slot->rows,
                            slot->residuals, &result, &slot->err);
    if (slot->rv == 0 && pipeline->job.keyed) {
        block_put_keys(&pipeline->job, slot->keys, slot->block.n_rows,
                       slot->rows);
    }
    if (slot->rv == 0) {
        slot->block.sums = result.sums;
        slot->block.n_nonfinite = result.n_nonfinite;
        slot->block.n_lost = result.n_lost;
        slot->block.n_residuals = result.n_residuals;
    }
}

static void *encoder_main(void *arg)
{
    struct build_pipeline *pipeline = arg;
    pthread_mutex_lock(&pipeline->lock);
    for (;;) {
        while (!pipeline->stop && !pipeline->all_read &&
               pipeline->n_claimed == pipeline->n_read) {
            pthread_cond_wait(&pipeline->work, &pipeline->lock);
        }
        if (pipeline->stop || pipeline->n_claimed == pipeline->n_read) {
            break;
        }
        uint64_t i = pipeline->n_claimed++;
        struct slot *slot = slot_at(pipeline, i);
        pthread_mutex_unlock(&pipeline->lock);
        encode_block(pipeline, i, slot);
        pthread_mutex_lock(&pipeline->lock);
        slot->encoded = true;
        pthread_cond_signal(&pipeline->encoded);
    }
    pthread_mutex_unlock(&pipeline->lock);
    return NULL;
}

/* ---- the caller ---------------------------------------------------------- */

int build_pipeline_next(struct build_pipeline *pipeline,
                        struct encoded_block *block, struct nb_errctx *err)
{
    pthread_mutex_lock(&pipeline->lock);
    if (pipeline->caller_has_block) {
        pipeline->n_taken++;
        pthread_cond_signal(&pipeline->room);
    }
    const struct slot *slot = slot_at(pipeline, pipeline->n_taken);
    while (pipeline->n_taken == pipeline->n_read || !slot->encoded) {
        pthread_cond_wait(&pipeline->encoded, &pipeline->lock);
    }
    pipeline->caller_has_block = true;
    pthread_mutex_unlock(&pipeline->lock);
    if (slot->rv != 0) {
        return nb_fail(err, slot->rv, "%s", slot->err.text);
    }
    *block = slot->block;
    return 0;
}

static int start_threads(struct build_pipeline *pipeline, struct nb_errctx *err)
{
    size_t n = (size_t)pipeline->job.threads + 1;
    for (size_t i = 0; i < n; i++) {
        int rv = -pthread_create(&pipeline->threads[i], NULL,
                                 i == 0 ? reader_main : encoder_main, pipeline);
        if (rv != 0) {
            return nb_fail(err, rv, "cannot start thread %zu of %zu: %s", i + 1,
                           n, nb_strerror(rv));
        }
        pipeline->n_threads++;
    }
    return 0;
}

static int allocate(struct build_pipeline *pipeline, struct nb_errctx *err)
{
    const struct build_job *job = &pipeline->job;
    pipeline->max_rows = block_rows(job->format.dim);
    pipeline->slots = calloc(pipeline->n_slots, sizeof(*pipeline->slots));
    pipeline->threads =
        calloc((size_t)job->threads + 1, sizeof(*pipeline->threads));
    bool ok = pipeline->slots != NULL && pipeline->threads != NULL;
    for (size_t i = 0; i < pipeline->n_slots && ok; i++) {
        struct slot *slot = &pipeline->slots[i];
        slot->values =
            malloc(pipeline->max_rows * job->format.dim * sizeof(float));
        slot->rows = calloc(pipeline->max_rows, job->stride);
        slot->keys = job->keyed
                         ? malloc(pipeline->max_rows * sizeof(*slot->keys))
                         : NULL;
        bool protects = job->protection != NULL;
        slot->residuals =
            protects ? malloc(pipeline->max_rows * job->stride) : NULL;
        ok = slot->values != NULL && slot->rows != NULL &&
             (slot->keys != NULL || !job->keyed) &&
             (slot->residuals != NULL || !protects);
    }
    return ok ? 0
              : nb_fail(err, NB_ERR_NOMEM,
                        "out of memory for %zu blocks of %zu rows",
                        pipeline->n_slots, pipeline->max_rows);
}

int build_pipeline_create(const struct build_job *job,
                          struct build_pipeline **pipeline,
                          struct nb_errctx *err)
{
    struct build_pipeline *created = calloc(1, sizeof(*created));
    if (created == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "out of memory");
    }
    created->job = *job;
    /* One block in each encoder's hands and one waiting, one being read, one
     * being written. */
    created->n_slots = 2 * (size_t)job->threads + 2;
    pthread_mutex_init(&created->lock, NULL);
    pthread_cond_init(&created->room, NULL);
    pthread_cond_init(&created->work, NULL);
    pthread_cond_init(&created->encoded, NULL);
    int rv = allocate(created, err);
    if (rv == 0) {
        rv = start_threads(created, err);
    }
    if (rv != 0) {
        build_pipeline_destroy(created);
        return rv;
    }
    *pipeline = created;
    return 0;
}

void build_pipeline_destroy(struct build_pipeline *pipeline)
{
    if (pipeline == NULL) {
        return;
    }
    pthread_mutex_lock(&pipeline->lock);
    pipeline->stop = true;
    pthread_cond_broadcast(&pipeline->room);
    pthread_cond_broadcast(&pipeline->work);
    pthread_mutex_unlock(&pipeline->lock);
    for (size_t i = 0; i < pipeline->n_threads; i++) {
        pthread_join(pipeline->threads[i], NULL);
    }
    for (size_t i = 0; i < pipeline->n_slots && pipeline->slots != NULL; i++) {
        free(pipeline->slots[i].values);
        free(pipeline->slots[i].rows);
        free(pipeline->slots[i].residuals);
        free(pipeline->slots[i].keys);
    }
    free(pipeline->slots);
    free(pipeline->threads);
    pthread_cond_destroy(&pipeline->encoded);
    pthread_cond_destroy(&pipeline->work);
    pthread_cond_destroy(&pipeline->room);
    pthread_mutex_destroy(&pipeline->lock);
    free(pipeline);
}
