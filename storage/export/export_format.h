/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What a format of exports.def implements. */
#ifndef NB_STORAGE_EXPORT_FORMAT_H
#define NB_STORAGE_EXPORT_FORMAT_H

#include "storage/io/atomic_file.h"
#include "storage/table/table_reader.h"

struct export_format {
    const char *name;
    /* Writes the whole file; the caller commits it. NB_ERR_UNSUPPORTED if the
     * format cannot hold this table, before anything is written. */
    int (*write)(const struct table *table, struct atomic_file *file,
                 struct nb_errctx *err);
};

#define EXPORT(name) extern const struct export_format export_##name;
#include "storage/export/exports.def"
#undef EXPORT

#endif
