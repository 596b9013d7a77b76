/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A stream of fp32 rows read from a foreign file (sources.def lists the
 * formats). Memory use does not depend on the file's size. */
#ifndef NB_STORAGE_SOURCE_H
#define NB_STORAGE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

struct source; /* one thread at a time */

#define SOURCE_ROWS_UNKNOWN UINT64_MAX

/* What to read, where the path alone does not tell. A plain parameter struct;
 * all zero: tell everything by the content. */
struct source_options {
    const char
        *format; /* name of sources.def; NULL or "auto": by the content */
    const char *tensor; /* which of a file's matrices; NULL: its only one */
    uint64_t dim;       /* values a row; 0: as the file says */
};

/*
 * Opens `path`, a file, or a directory where that is the format. The caller
 * owns *source and ends it with source_close();
 * options are borrowed for the call.
 * -errno; NB_ERR_NOT_FOUND: no such format or tensor; NB_ERR_INVALID: an option
 * that is missing, or is wrong for this file; NB_ERR_SOURCE: malformed, *err
 * says where; NB_ERR_UNSUPPORTED: well formed, but not a matrix this reads
 * (names what it is); NB_ERR_TOO_LARGE; NB_ERR_NOMEM.
 */
int source_open(const char *path, const struct source_options *options,
                struct source **source, struct nb_errctx *err);

void source_close(struct source *source); /* NULL is allowed */

/* Of the file that rows stand in, to be looked at with fstat() only. */
int source_fd(const struct source *source);

uint32_t source_dim(const struct source *source);
const char *source_format(const struct source *source); /* name in the list */
const char *source_path(const struct source *source);   /* for messages */

/* Rows in all, or SOURCE_ROWS_UNKNOWN where only reading can tell. */
uint64_t source_rows(const struct source *source);

/* Progress: bytes read so far, and in all. */
uint64_t source_bytes_read(const struct source *source);
uint64_t source_bytes(const struct source *source);

/* Line of the file that row `row` stands in, counted from 1, for messages; 0
 * where the format has no lines. */
uint64_t source_line(const struct source *source, uint64_t row);

/* Reads up to max_rows rows of source_dim() values, max_rows > 0. *n_rows is
 * less than max_rows only at the end, 0 there from then on. Values are as the
 * file has them, NaN and Inf included; what is beyond fp32 reads as Inf.
 * -errno, NB_ERR_SOURCE (names the row, or line and field counted from 1). */
int source_read(struct source *source, float *values, size_t max_rows,
                size_t *n_rows, struct nb_errctx *err);

/* Called with the word that stands before a row's values; not ended by a NUL.
 */
typedef void source_word_fn(void *arg, const char *word, size_t n);

/* From now on source_read() shows the word of every row it returns to `watch`,
 * in order, on its own thread; NULL ends that. NB_ERR_UNSUPPORTED: rows of this
 * format have no words. */
int source_watch_words(struct source *source, source_word_fn *watch, void *arg,
                       struct nb_errctx *err);

/* Starts again from the first row. -errno. */
int source_rewind(struct source *source, struct nb_errctx *err);

/* Name of the i-th format, for listing; NULL past the end. */
const char *source_format_at(size_t i);

#endif
