/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/export/table_export.h"

#include <stdio.h>
#include <string.h>

#include "storage/export/export_format.h"

static const struct export_format *const FORMATS[] = {
#define EXPORT(name) &export_##name,
#include "storage/export/exports.def"
#undef EXPORT
};

#define N_FORMATS (sizeof(FORMATS) / sizeof(FORMATS[0]))

const char *table_export_format_at(size_t i)
{
    return i < N_FORMATS ? FORMATS[i]->name : NULL;
}

static int fail_unknown(const char *name, struct nb_errctx *err)
{
    char known[128] = "";
    size_t n = 0;
    for (size_t i = 0; i < N_FORMATS && n < sizeof(known); i++) {
        n += (size_t)snprintf(known + n, sizeof(known) - n, " %s",
                              FORMATS[i]->name);
    }
    return nb_fail(err, NB_ERR_NOT_FOUND,
                   "no export format '%.40s'; there are:%s", name, known);
}

int table_export(const struct table *table, const char *format,
                 const char *path, struct nb_errctx *err)
{
    const struct export_format *chosen = NULL;
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (strcmp(FORMATS[i]->name, format) == 0) {
            chosen = FORMATS[i];
        }
    }
    if (chosen == NULL) {
        return fail_unknown(format, err);
    }
    if (file_id_is(&table_info(table)->file, path)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: is the table itself, will not replace it", path);
    }
    struct atomic_file *file;
    int rv = atomic_file_create(path, &file, err);
    if (rv != 0) {
        return rv;
    }
    rv = chosen->write(table, file, err);
    if (rv == 0) {
        rv = atomic_file_commit(file, err);
    }
    atomic_file_destroy(file);
    return rv;
}
