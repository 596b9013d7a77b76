/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table_writer.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "quant/checked.h"
#include "storage/atomic_file.h"
#include "storage/table_format.h"
#include "storage/table_params.h"

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

/* Adds a section behind the others, and writes it. */
static int write_section(const struct table_writer *writer, uint32_t kind,
                         uint32_t flags, const void *bytes, size_t n,
                         struct table_header *header, struct nb_errctx *err)
{
    struct table_section *section = &header->sections[header->n_sections];
    uint64_t offset;
    uint64_t end;
    if (!checked_round_up(header->file_bytes, TABLE_ALIGN, &offset) ||
        !checked_add(offset, n, &end) || end > INT64_MAX) {
        return nb_fail(err, NB_ERR_TOO_LARGE, "%s: too large",
                       atomic_file_path(writer->file));
    }
    *section = (struct table_section){.kind = kind,
                                      .flags = flags,
                                      .offset = offset,
                                      .length = n,
                                      .checksum = XXH3_64bits(bytes, n)};
    header->n_sections++;
    header->file_bytes = end;
    return atomic_file_write(writer->file, bytes, n, offset, err);
}

static int write_params(const struct table_writer *writer,
                        const struct nb_params *params,
                        struct table_header *header, struct nb_errctx *err)
{
    uint32_t dim = writer->format.dim;
    size_t n = table_params_bytes(dim, params);
    uint8_t *bytes = malloc(n);
    if (bytes == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory",
                       atomic_file_path(writer->file));
    }
    table_params_encode(dim, params, bytes);
    int rv = write_section(writer, SECTION_PARAMS, SECTION_REQUIRED, bytes, n,
                           header, err);
    free(bytes);
    return rv;
}

static int check_commit(const struct table_writer *writer,
                        const struct nb_params *params, size_t metadata_bytes,
                        struct nb_errctx *err)
{
    const char *path = atomic_file_path(writer->file);
    struct nb_errctx why;
    if (writer->n_rows == 0) {
        return nb_fail(err, NB_ERR_INVALID, "%s: a table needs rows", path);
    }
    if (metadata_bytes > TABLE_METADATA_MAX) {
        return nb_fail(err, NB_ERR_TOO_LARGE,
                       "%s: %zu bytes of metadata, the limit is %u", path,
                       metadata_bytes, TABLE_METADATA_MAX);
    }
    int rv = nb_params_check(&writer->format, params, &why);
    return rv == 0 ? 0 : nb_fail(err, rv, "%s: %.100s", path, why.text);
}

int table_writer_commit(struct table_writer *writer,
                        const struct nb_params *params, const char *metadata,
                        struct nb_errctx *err)
{
    size_t metadata_bytes = strlen(metadata);
    int rv = check_commit(writer, params, metadata_bytes, err);
    if (rv != 0) {
        return rv;
    }
    struct table_header header = {
        .file_bytes = writer->rows_end,
        .n_rows = writer->n_rows,
        .stride = writer->stride,
        .format = writer->format,
        .n_sections = 1,
    };
    header.sections[0] = (struct table_section){
        .kind = SECTION_ROWS,
        .flags = SECTION_REQUIRED,
        .offset = TABLE_PAGE,
        .length = writer->rows_end - TABLE_PAGE,
        .checksum = XXH3_64bits_digest(writer->rows_hash),
    };
    if (table_params_any(params)) {
        rv = write_params(writer, params, &header, err);
    }
    if (rv == 0) {
        rv = write_section(writer, SECTION_METADATA, 0, metadata,
                           metadata_bytes, &header, err);
    }
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
