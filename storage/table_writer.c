/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table_writer.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "quant/checked.h"
#include "storage/atomic_file.h"
#include "storage/table_format.h"

struct table_writer {
    struct atomic_file *file;
    XXH3_state_t *rows_hash; /* of the rows so far */
    struct nb_format format;
    size_t stride;
    uint64_t n_rows;
    uint64_t rows_end;   /* where the next row goes */
    uint64_t file_bytes; /* 0 before commit */
};

int table_writer_create(const char *path, const struct nb_format *format,
                        struct table_writer **writer, struct nb_errctx *err)
{
    size_t row_bytes;
    int rv = nb_row_bytes(format, &row_bytes);
    if (rv != 0) {
        return nb_fail(err, rv, "%s: codec, dim or scale type: %s", path,
                       nb_strerror(rv));
    }
    struct table_writer *created = calloc(1, sizeof(*created));
    if (created == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    created->format = *format;
    created->stride = row_bytes;
    created->rows_end = TABLE_PAGE;
    created->rows_hash = XXH3_createState();
    if (created->rows_hash == NULL) {
        rv = nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
        goto err_destroy;
    }
    XXH3_64bits_reset(created->rows_hash);
    rv = atomic_file_create(path, &created->file, err);
    if (rv != 0) {
        goto err_destroy;
    }
    *writer = created;
    return 0;

err_destroy:
    table_writer_destroy(created);
    return rv;
}

size_t table_writer_stride(const struct table_writer *writer)
{
    return writer->stride;
}

int table_writer_append(struct table_writer *writer, const void *rows,
                        size_t n_rows, struct nb_errctx *err)
{
    uint64_t bytes;
    uint64_t end;
    /* Offsets are off_t to the system. */
    if (!checked_mul(n_rows, writer->stride, &bytes) ||
        !checked_add(writer->rows_end, bytes, &end) || end > INT64_MAX) {
        return nb_fail(err, NB_ERR_TOO_LARGE, "%s: too many rows",
                       atomic_file_path(writer->file));
    }
    int rv = atomic_file_write(writer->file, rows, (size_t)bytes,
                               writer->rows_end, err);
    if (rv != 0) {
        return rv;
    }
    XXH3_64bits_update(writer->rows_hash, rows, (size_t)bytes);
    writer->n_rows += n_rows;
    writer->rows_end = end;
    return 0;
}

/* The header of a table whose metadata follow its rows. */
static int make_header(const struct table_writer *writer, const char *metadata,
                       size_t metadata_bytes, struct table_header *header)
{
    uint64_t offset;
    uint64_t end;
    if (!checked_round_up(writer->rows_end, TABLE_ALIGN, &offset) ||
        !checked_add(offset, metadata_bytes, &end) || end > INT64_MAX) {
        return NB_ERR_TOO_LARGE;
    }
    *header = (struct table_header){
        .file_bytes = end,
        .n_rows = writer->n_rows,
        .stride = writer->stride,
        .format = writer->format,
        .n_sections = 2,
    };
    header->sections[0] = (struct table_section){
        .kind = SECTION_ROWS,
        .flags = SECTION_REQUIRED,
        .offset = TABLE_PAGE,
        .length = writer->rows_end - TABLE_PAGE,
        .checksum = XXH3_64bits_digest(writer->rows_hash),
    };
    header->sections[1] = (struct table_section){
        .kind = SECTION_METADATA,
        .offset = offset,
        .length = metadata_bytes,
        .checksum = XXH3_64bits(metadata, metadata_bytes),
    };
    return 0;
}

int table_writer_commit(struct table_writer *writer, const char *metadata,
                        struct nb_errctx *err)
{
    const char *path = atomic_file_path(writer->file);
    size_t metadata_bytes = strlen(metadata);
    if (writer->n_rows == 0) {
        return nb_fail(err, NB_ERR_INVALID, "%s: a table needs rows", path);
    }
    if (metadata_bytes > TABLE_METADATA_MAX) {
        return nb_fail(err, NB_ERR_TOO_LARGE,
                       "%s: %zu bytes of metadata, the limit is %u", path,
                       metadata_bytes, TABLE_METADATA_MAX);
    }
    struct table_header header;
    int rv = make_header(writer, metadata, metadata_bytes, &header);
    if (rv != 0) {
        return nb_fail(err, rv, "%s: too large", path);
    }
    rv = atomic_file_write(writer->file, metadata, metadata_bytes,
                           header.sections[1].offset, err);
    if (rv != 0) {
        return rv;
    }
    uint8_t bytes[TABLE_HEADER_MAX];
    size_t header_bytes = table_header_encode(&header, bytes);
    rv = atomic_file_write(writer->file, bytes, header_bytes, 0, err);
    if (rv != 0) {
        return rv;
    }
    writer->file_bytes = header.file_bytes;
    return atomic_file_commit(writer->file, err);
}

uint64_t table_writer_file_bytes(const struct table_writer *writer)
{
    return writer->file_bytes;
}

void table_writer_destroy(struct table_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    atomic_file_destroy(writer->file);
    XXH3_freeState(writer->rows_hash);
    free(writer);
}
