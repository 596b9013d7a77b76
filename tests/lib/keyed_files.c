/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/keyed_files.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

struct table_writer *keyed_file_begin(const char *path, uint32_t dim,
                                      const uint64_t *keys, size_t n_rows,
                                      unsigned threads)
{
    struct nb_format format = table_file_format(dim);
    struct nb_errctx err = {""};
    struct table_writer *writer;
    uint8_t *rows = table_file_rows(dim, n_rows);
    int rv = table_writer_create(path, &format, &writer, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    size_t row_bytes = table_writer_stride(writer);
    rv = table_writer_add_keys(writer, KEY_NUMBERS, threads, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    size_t stride = table_writer_stride(writer);
    ck_assert_uint_eq(stride, row_bytes + NB_KEY_BYTES);
    uint8_t *keyed = malloc((n_rows + 1) * stride);
    ck_assert_ptr_nonnull(keyed);
    for (size_t i = 0; i < n_rows; i++) {
        memcpy(keyed + i * stride, rows + i * row_bytes, row_bytes);
        put_u64(keyed + i * stride + row_bytes, keys[i]);
    }
    size_t half = n_rows / 2;
    rv = table_writer_append(writer, keyed, half, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    rv =
        table_writer_append(writer, keyed + half * stride, n_rows - half, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    free(keyed);
    free(rows);
    return writer;
}

const char *keyed_file_write(const char *name, uint32_t dim,
                             const uint64_t *keys, size_t n_rows,
                             unsigned threads)
{
    const char *path = scratch_path(name);
    struct nb_errctx err = {""};
    struct table_writer *writer =
        keyed_file_begin(path, dim, keys, n_rows, threads);
    int rv = table_writer_commit(writer, NULL, TABLE_FILE_METADATA, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    table_writer_destroy(writer);
    return path;
}
