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

/*
 * Opens `path`. `format` is a name of sources.def, or "auto" to tell by the
 * content. The caller owns *source and ends it with source_close().
 * -errno; NB_ERR_NOT_FOUND: no such format; NB_ERR_SOURCE: malformed, *err
 * says where; NB_ERR_UNSUPPORTED: well formed, but not a matrix this reads
 * (names what it is); NB_ERR_NOMEM.
 */
int source_open(const char *path, const char *format, struct source **source,
                struct nb_errctx *err);

void source_close(struct source *source); /* NULL is allowed */

uint32_t source_dim(const struct source *source);
const char *source_format(const struct source *source); /* name in the list */

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

/* Starts again from the first row. -errno. */
int source_rewind(struct source *source, struct nb_errctx *err);

/* Name of the i-th format, for listing; NULL past the end. */
const char *source_format_at(size_t i);

#endif
