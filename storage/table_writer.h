/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Writes a table file: a temporary file beside the target, rows appended in
 * order, then checksums, metadata, fsync and rename. Until the rename, nothing
 * stands under the final name. */
#ifndef NB_STORAGE_TABLE_WRITER_H
#define NB_STORAGE_TABLE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

struct table_writer;

/* Creates the temporary file. The caller ends *writer with
 * table_writer_destroy() on every path. -errno, NB_ERR_INVALID,
 * NB_ERR_UNSUPPORTED, NB_ERR_NOMEM. */
int table_writer_create(const char *path, const struct nb_format *format,
                        struct table_writer **writer, struct nb_errctx *err);

/* Bytes from row to row that append expects and the file has. */
size_t table_writer_stride(const struct table_writer *writer);

/* Appends n_rows encoded rows, `stride` bytes apart, padding zeroed. -errno,
 * NB_ERR_TOO_LARGE. */
int table_writer_append(struct table_writer *writer, const void *rows,
                        size_t n_rows, struct nb_errctx *err);

/* Completes the file with the parameters that its rows were encoded with (NULL:
 * none) and `metadata` (one JSON object, as text), and renames it to its final
 * name; the directory is synced too. -errno, NB_ERR_INVALID (no rows, or
 * parameters not those of the codec), NB_ERR_TOO_LARGE, NB_ERR_NOMEM. */
int table_writer_commit(struct table_writer *writer,
                        const struct nb_params *params, const char *metadata,
                        struct nb_errctx *err);

/* Bytes of the complete file; after commit. */
uint64_t table_writer_file_bytes(const struct table_writer *writer);

/* Frees; removes the temporary file if commit did not succeed. NULL allowed. */
void table_writer_destroy(struct table_writer *writer);

#endif
