/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Export as GloVe text: a line a row, the row's key or else its number in the
 * place of the word, then the decoded values. Nine digits are enough for any
 * fp32 to be read back as it was.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/builder/error_sums.h"
#include "storage/export/export_format.h"

#define TEXT_BYTES ((size_t)256 * 1024) /* written at once, about */
#define ID_BYTES   20u                  /* of 2^64 - 1 */
#define FIELD_MAX  (sizeof(" -1.23456789e-38") - 1)

/* Lines not yet written. */
struct lines {
    char *text;
    size_t room;
    size_t n;
    uint64_t offset; /* in the file */
    struct atomic_file *file;
};

static void add_row(struct lines *lines, uint64_t id, const float *values,
                    uint32_t dim)
{
    char *at = lines->text + lines->n;
    char *end = lines->text + lines->room;
    at += snprintf(at, (size_t)(end - at), "%" PRIu64, id);
    for (uint32_t i = 0; i < dim; i++) {
        at += snprintf(at, (size_t)(end - at), " %.9g", (double)values[i]);
    }
    *at++ = '\n';
    lines->n = (size_t)(at - lines->text);
}

static int flush(struct lines *lines, struct nb_errctx *err)
{
    int rv = atomic_file_write(lines->file, lines->text, lines->n,
                               lines->offset, err);
    lines->offset += lines->n;
    lines->n = 0;
    return rv;
}

static int write_lines(const struct table *table, struct lines *lines,
                       float *values, struct nb_errctx *err)
{
    const struct nb_rows *rows = table_rows(table);
    size_t max_rows = block_rows(rows->format.dim);
    for (uint64_t first = 0; first < rows->n_rows;) {
        size_t n = rows->n_rows - first < max_rows
                       ? (size_t)(rows->n_rows - first)
                       : max_rows;
        int rv = nb_decode(rows, first, n, NB_FP32, values);
        if (rv != 0) {
            return nb_fail(err, rv, "%s: row %" PRIu64 ": %s",
                           atomic_file_path(lines->file), first,
                           nb_strerror(rv));
        }
        for (size_t i = 0; i < n; i++) {
            uint64_t id =
                rows->keys != NULL ? table_key(table, first + i) : first + i;
            add_row(lines, id, values + i * rows->format.dim, rows->format.dim);
            if (lines->n >= TEXT_BYTES) {
                rv = flush(lines, err);
                if (rv != 0) {
                    return rv;
                }
            }
        }
        first += n;
    }
    return flush(lines, err);
}

static int glove_write(const struct table *table, struct atomic_file *file,
                       struct nb_errctx *err)
{
    const struct nb_rows *rows = table_rows(table);
    uint32_t dim = rows->format.dim;
    /* snprintf() writes a NUL, too. */
    struct lines lines = {.room = TEXT_BYTES + ID_BYTES + dim * FIELD_MAX + 2,
                          .file = file};
    lines.text = malloc(lines.room);
    float *values = malloc(block_rows(dim) * dim * sizeof(float));
    int rv = lines.text == NULL || values == NULL
                 ? nb_fail(err, NB_ERR_NOMEM, "%s: out of memory",
                           atomic_file_path(file))
                 : write_lines(table, &lines, values, err);
    free(values);
    free(lines.text);
    return rv;
}

const struct export_format export_glove = {.name = "glove",
                                           .write = glove_write};
