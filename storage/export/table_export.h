/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Writes a table in a foreign format (exports.def lists them), to a temporary
 * file that is then renamed. */
#ifndef NB_STORAGE_TABLE_EXPORT_H
#define NB_STORAGE_TABLE_EXPORT_H

#include <stddef.h>

#include "storage/table/table_reader.h"

/* NB_ERR_NOT_FOUND: no such format (*err lists those there are);
 * NB_ERR_UNSUPPORTED: the format cannot hold this table; -errno. */
int table_export(const struct table *table, const char *format,
                 const char *path, struct nb_errctx *err);

/* Name of the i-th format, for listing; NULL past the end. */
const char *table_export_format_at(size_t i);

#endif
