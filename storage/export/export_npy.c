/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Exports that are .npy matrices:
 *   npy     rows decoded to fp32, [rows x dim] of '<f4'
 *   fbgemm  rows as FBGEMM's CPU operators hold them, [rows x row bytes] of
 *           '|u1': ceil(dim / 2) bytes of codes, even column in the low nibble,
 *           then fp16 scale and fp16 bias
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "storage/builder/error_sums.h"
#include "storage/export/export_format.h"
#include "storage/source/npy_header.h"

/* What each element of a row is. */
struct matrix {
    const char *descr;
    uint32_t dtype; /* enum nb_dtype */
    uint64_t n_columns;
    size_t row_bytes;
};

static int write_rows(const struct table *table, const struct matrix *matrix,
                      void *block, struct atomic_file *file,
                      struct nb_errctx *err)
{
    const struct nb_rows *rows = table_rows(table);
    size_t max_rows = block_rows(rows->format.dim);
    uint64_t offset = NPY_WRITTEN_BYTES;
    for (uint64_t first = 0; first < rows->n_rows;) {
        size_t n = rows->n_rows - first < max_rows
                       ? (size_t)(rows->n_rows - first)
                       : max_rows;
        int rv = nb_decode(rows, first, n, matrix->dtype, block);
        if (rv != 0) {
            return nb_fail(err, rv, "%s: row %" PRIu64 ": %s",
                           atomic_file_path(file), first, nb_strerror(rv));
        }
        rv = atomic_file_write(file, block, n * matrix->row_bytes, offset, err);
        if (rv != 0) {
            return rv;
        }
        first += n;
        offset += n * matrix->row_bytes;
    }
    return 0;
}

static int write_matrix(const struct table *table, const struct matrix *matrix,
                        struct atomic_file *file, struct nb_errctx *err)
{
    const struct nb_rows *rows = table_rows(table);
    uint8_t header[NPY_WRITTEN_BYTES];
    npy_header_write(matrix->descr, rows->n_rows, matrix->n_columns, header);
    int rv = atomic_file_write(file, header, sizeof(header), 0, err);
    if (rv != 0) {
        return rv;
    }
    /* A block is at most 512 KiB, or one row. */
    void *block = malloc(block_rows(rows->format.dim) * matrix->row_bytes);
    if (block == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory",
                       atomic_file_path(file));
    }
    rv = write_rows(table, matrix, block, file, err);
    free(block);
    return rv;
}

static int npy_write(const struct table *table, struct atomic_file *file,
                     struct nb_errctx *err)
{
    uint32_t dim = table_info(table)->format.dim;
    const struct matrix matrix = {
        .descr = "<f4",
        .dtype = NB_FP32,
        .n_columns = dim,
        .row_bytes = dim * sizeof(float),
    };
    return write_matrix(table, &matrix, file, err);
}

static int fbgemm_write(const struct table *table, struct atomic_file *file,
                        struct nb_errctx *err)
{
    const struct nb_format *format = &table_info(table)->format;
    const char *path = atomic_file_path(file);
    const char *codec = nb_codec_name(format->codec);
    if (codec == NULL || strcmp(codec, "q4") != 0) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: fbgemm rows are affine 4-bit ones, codec q4; this "
                       "table's codec is %s",
                       path, codec != NULL ? codec : "unknown");
    }
    const struct nb_params *params = table_rows(table)->params;
    if (params != NULL && params->column_mean != NULL) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: fbgemm rows have no column transform; this table "
                       "was quantized with --columns",
                       path);
    }
    if (table_rows(table)->protect != NULL) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: fbgemm rows are one each; this table was quantized "
                       "with --protect",
                       path);
    }
    if (format->scales != NB_SCALES_FP16) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: fbgemm rows have fp16 scales; this table's are "
                       "fp32",
                       path);
    }
    size_t row_bytes;
    int rv = nb_row_bytes(format, &row_bytes);
    if (rv != 0) {
        return nb_fail(err, rv, "%s: %s", path, nb_strerror(rv));
    }
    const struct matrix matrix = {
        .descr = "|u1",
        .dtype = NB_PACKED,
        .n_columns = row_bytes,
        .row_bytes = row_bytes,
    };
    return write_matrix(table, &matrix, file, err);
}

const struct export_format export_npy = {.name = "npy", .write = npy_write};
const struct export_format export_fbgemm = {.name = "fbgemm",
                                            .write = fbgemm_write};
