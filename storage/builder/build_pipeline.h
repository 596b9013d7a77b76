/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The threads of the table builder. One reads blocks of rows from the source,
 * several encode them, and the caller takes them back in order. Blocks stand in
 * a ring, so memory is bounded: reading waits for the caller.
 */
#ifndef NB_STORAGE_BUILD_PIPELINE_H
#define NB_STORAGE_BUILD_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/builder/error_sums.h"
#include "storage/table/row_protection.h"
#include "storage/source/source.h"
#include "storage/builder/table_builder.h"

#define BUILD_THREADS_MAX 256u

struct build_pipeline;
struct row_keys; /* storage/source/row_keys.h */

/* All borrowed until build_pipeline_destroy(). */
struct build_job {
    struct source *source; /* not to be used by the caller meanwhile */
    const char *input;     /* its path, for messages */
    struct nb_format format;
    const struct nb_params *params; /* NULL: none */
    uint32_t search;
    size_t stride;
    enum nan_policy nan_policy;
    const struct row_protection *protection; /* NULL: none */
    unsigned threads;      /* that encode, 1..BUILD_THREADS_MAX */
    bool keyed;            /* each row has its key behind its row bytes: */
    struct row_keys *keys; /* from there; NULL: its word's */
};

/* Rows encoded; valid until the next call. */
struct encoded_block {
    const uint8_t *rows; /* n_rows, job.stride apart, padding zeroed */
    size_t n_rows;
    const uint8_t *residuals; /* of the protected ones, row bytes apart */
    size_t n_residuals;
    bool last; /* no more blocks; n_rows may be 0 */
    struct error_sums sums;
    uint64_t n_nonfinite;
    uint64_t n_lost;
    uint64_t source_bytes_read; /* when this block was read */
};

/* Starts the threads. NB_ERR_NOMEM, -errno of pthread_create. */
int build_pipeline_create(const struct build_job *job,
                          struct build_pipeline **pipeline,
                          struct nb_errctx *err);

/* Gives back the previous block and waits for the next. The error is that of
 * the first row that has one, whatever the threads' timing: errors of the
 * source and its keys, NB_ERR_NONFINITE, NB_ERR_OVERFLOW. Not to be called
 * again after an error or the last block. */
int build_pipeline_next(struct build_pipeline *pipeline,
                        struct encoded_block *block, struct nb_errctx *err);

/* Stops and joins the threads, and frees. NULL is allowed. */
void build_pipeline_destroy(struct build_pipeline *pipeline);

#endif
