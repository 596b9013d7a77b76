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
#include "storage/table/keyed_rows.h"
#include "storage/table/row_protection.h"

struct table_writer;

/* Creates the temporary file. The caller ends *writer with
 * table_writer_destroy() on every path. -errno, NB_ERR_INVALID,
 * NB_ERR_UNSUPPORTED, NB_ERR_NOMEM. */
int table_writer_create(const char *path, const struct nb_format *format,
                        struct table_writer **writer, struct nb_errctx *err);

/* Makes the table keyed, before the first row: each has its key (a u64,
 * little-endian) behind its row bytes, and the file has them in the order of
 * its key index, which commit builds on `threads` threads. -errno,
 * NB_ERR_NOMEM. */
int table_writer_add_keys(struct table_writer *writer, enum key_kind kind,
                          unsigned threads, struct nb_errctx *err);

/* Makes some rows protected, before the first row; not of a keyed table. The
 * protection is borrowed until commit. -errno, NB_ERR_UNSUPPORTED,
 * NB_ERR_TOO_LARGE. */
int table_writer_protect(struct table_writer *writer,
                         const struct row_protection *protection,
                         struct nb_errctx *err);

/* Appends the residual rows of the next n protected rows, of the codec's row
 * bytes, side by side. -errno. */
int table_writer_append_residuals(struct table_writer *writer, const void *rows,
                                  size_t n, struct nb_errctx *err);

/* What the table does with unseen ids; zero if not called. default_row counts
 * rows as they are appended. */
void table_writer_set_unseen(struct table_writer *writer,
                             const struct nb_unseen_policy *unseen);

/* Bytes from row to row that append expects and the file has. */
size_t table_writer_stride(const struct table_writer *writer);

/* Appends n_rows encoded rows, `stride` bytes apart, padding zeroed. -errno,
 * NB_ERR_TOO_LARGE. */
int table_writer_append(struct table_writer *writer, const void *rows,
                        size_t n_rows, struct nb_errctx *err);

/* Completes the file with the parameters that its rows were encoded with (NULL:
 * none) and `metadata` (one JSON object, as text), and renames it to its final
 * name; the directory is synced too. -errno, NB_ERR_INVALID (no rows,
 * parameters not those of the codec, no such default row, more or fewer rows
 * than weights that protect them, or a key that stands twice),
 * NB_ERR_UNSUPPORTED (keys chosen so that there is no index), NB_ERR_TOO_LARGE,
 * NB_ERR_NOMEM. */
int table_writer_commit(struct table_writer *writer,
                        const struct nb_params *params, const char *metadata,
                        struct nb_errctx *err);

/* The rows of the same key, if that is why commit failed; NULL otherwise. */
const struct key_clash *table_writer_clash(const struct table_writer *writer);

/* Bytes of the complete file, and of its key index; after commit. */
uint64_t table_writer_file_bytes(const struct table_writer *writer);
uint64_t table_writer_keys_bytes(const struct table_writer *writer);

/* Frees; removes the temporary file if commit did not succeed. NULL allowed. */
void table_writer_destroy(struct table_writer *writer);

#endif
