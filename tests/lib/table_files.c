/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/table_files.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/codec/q4.h"
#include "quant/half.h"
#include "storage/table/table_format.h"
#include "storage/table/table_writer.h"
#include "tests/lib/scratch.h"

struct nb_format table_file_format(uint32_t dim)
{
    struct nb_format format = {.dim = dim, .scales = NB_SCALES_FP16};
    ck_assert_int_eq(nb_codec_by_name("q4", &format.codec), 0);
    return format;
}

uint8_t *table_file_rows(uint32_t dim, size_t n_rows)
{
    size_t code_bytes = q4_code_bytes(dim);
    size_t row_bytes = code_bytes + 4;
    uint8_t *rows = calloc(n_rows, row_bytes);
    ck_assert_ptr_nonnull(rows);
    uint32_t state = dim;
    for (size_t i = 0; i < n_rows; i++) {
        uint8_t *row = rows + i * row_bytes;
        for (size_t j = 0; j < code_bytes; j++) {
            state = state * 1664525u + 1013904223u;
            row[j] = (uint8_t)(state >> 24);
        }
        if (dim % 2 != 0) {
            row[code_bytes - 1] &= 0x0f;
        }
        put_u16(row + code_bytes, half_from_float(0x1p-4f));
        put_u16(row + code_bytes + 2, half_from_float(-0.5f));
    }
    return rows;
}

const char *table_file_write(const char *name, uint32_t dim, size_t n_rows)
{
    const char *path = scratch_path(name);
    struct nb_format format = table_file_format(dim);
    struct table_writer *writer;
    struct nb_errctx err = {""};
    uint8_t *rows = table_file_rows(dim, n_rows);
    int rv = table_writer_create(path, &format, &writer, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert_uint_eq(table_writer_stride(writer), q4_code_bytes(dim) + 4);
    /* In two parts, for the checksum is streamed. */
    size_t half = n_rows / 2;
    rv = table_writer_append(writer, rows, half, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    rv = table_writer_append(writer, rows + half * table_writer_stride(writer),
                             n_rows - half, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    rv = table_writer_commit(writer, NULL, TABLE_FILE_METADATA, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    table_writer_destroy(writer);
    free(rows);
    return path;
}

void table_file_fix_header(uint8_t *bytes, size_t n)
{
    size_t header_bytes = get_u32(bytes + HEADER_BYTES);
    ck_assert_uint_le(header_bytes, n);
    put_u64(bytes + HEADER_CHECKSUM,
            table_header_checksum(bytes, header_bytes));
}
