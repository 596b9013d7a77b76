/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table/table_writer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "quant/bytes.h"
#include "quant/checked.h"
#include "storage/io/atomic_file.h"
#include "storage/table/table_format.h"
#include "storage/table/table_params.h"

struct table_writer {
    struct atomic_file *file;
    XXH3_state_t *rows_hash; /* of the rows so far */
    struct nb_format format;
    size_t stride;
    uint64_t n_rows;
    uint64_t rows_end;   /* where the next row goes */
    uint64_t file_bytes; /* 0 before commit */
    struct nb_unseen_policy unseen;
    struct keyed_rows *keyed; /* NULL: the table is dense */
    unsigned threads;         /* to build the index */
    struct key_index keys;
    struct key_clash clash; /* rows[0] < rows[1] if there is one */
    const struct row_protection *protection; /* NULL: none */
    struct table_section protected_rows;     /* so far */
    uint64_t n_residuals;
    XXH3_state_t *protected_hash;
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
    created->unseen.action = NB_UNSEEN_ZERO;
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

int table_writer_add_keys(struct table_writer *writer, enum key_kind kind,
                          unsigned threads, struct nb_errctx *err)
{
    size_t row_bytes = writer->stride;
    int rv = keyed_rows_create(atomic_file_path(writer->file),
                               row_bytes + NB_KEY_BYTES, row_bytes,
                               &writer->keyed, err);
    if (rv == 0) {
        writer->stride = row_bytes + NB_KEY_BYTES;
        writer->keys.kind = kind;
        writer->threads = threads;
    }
    return rv;
}

int table_writer_protect(struct table_writer *writer,
                         const struct row_protection *protection,
                         struct nb_errctx *err)
{
    struct table_section *section = &writer->protected_rows;
    const char *path = atomic_file_path(writer->file);
    uint64_t rows_bytes;
    uint64_t rows_end;
    uint64_t n = table_protected_blocks(protection->n_rows) *
                 sizeof(*protection->blocks);
    if (writer->keyed != NULL) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: rows of a keyed table cannot be protected", path);
    }
    /* The rows' place is known before them. */
    if (!checked_mul(protection->n_rows, writer->stride, &rows_bytes) ||
        !checked_add(TABLE_PAGE, rows_bytes, &rows_end) ||
        !checked_round_up(rows_end, TABLE_ALIGN, &section->offset) ||
        section->offset > INT64_MAX - n) {
        return nb_fail(err, NB_ERR_TOO_LARGE, "%s: too large", path);
    }
    writer->protected_hash = XXH3_createState();
    if (writer->protected_hash == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    XXH3_64bits_reset(writer->protected_hash);
    XXH3_64bits_update(writer->protected_hash, protection->blocks, (size_t)n);
    section->kind = SECTION_PROTECTED;
    section->flags = SECTION_REQUIRED;
    section->length = n;
    writer->protection = protection;
    return atomic_file_write(writer->file, protection->blocks, (size_t)n,
                             section->offset, err);
}

int table_writer_append_residuals(struct table_writer *writer, const void *rows,
                                  size_t n, struct nb_errctx *err)
{
    struct table_section *section = &writer->protected_rows;
    /* A table that has residual rows has no keys: these are its row bytes. */
    size_t bytes = n * writer->stride;
    if (section->length > INT64_MAX - section->offset - bytes) {
        return nb_fail(err, NB_ERR_TOO_LARGE, "%s: too large",
                       atomic_file_path(writer->file));
    }
    int rv = atomic_file_write(writer->file, rows, bytes,
                               section->offset + section->length, err);
    if (rv == 0) {
        XXH3_64bits_update(writer->protected_hash, rows, bytes);
        section->length += bytes;
        writer->n_residuals += n;
    }
    return rv;
}

void table_writer_set_unseen(struct table_writer *writer,
                             const struct nb_unseen_policy *unseen)
{
    writer->unseen = *unseen;
}

size_t table_writer_stride(const struct table_writer *writer)
{
    return writer->stride;
}

static int fail_protection(const struct table_writer *writer, const char *what,
                           struct nb_errctx *err)
{
    return nb_fail(
        err, NB_ERR_INVALID,
        "%s: %s rows than the %" PRIu64 " weights that say which to protect",
        atomic_file_path(writer->file), what, writer->protection->n_rows);
}

/* Appends rows in the order of the file. */
static int append_rows(void *arg, const void *rows, size_t n_rows,
                       struct nb_errctx *err)
{
    struct table_writer *writer = arg;
    uint64_t bytes;
    uint64_t end;
    /* Offsets are off_t to the system. */
    if (!checked_mul(n_rows, writer->stride, &bytes) ||
        !checked_add(writer->rows_end, bytes, &end) || end > INT64_MAX) {
        return nb_fail(err, NB_ERR_TOO_LARGE, "%s: too many rows",
                       atomic_file_path(writer->file));
    }
    if (writer->protection != NULL &&
        n_rows > writer->protection->n_rows - writer->n_rows) {
        return fail_protection(writer, "more", err);
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

int table_writer_append(struct table_writer *writer, const void *rows,
                        size_t n_rows, struct nb_errctx *err)
{
    return writer->keyed != NULL
               ? keyed_rows_append(writer->keyed, rows, n_rows, err)
               : append_rows(writer, rows, n_rows, err);
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

static int write_keys(struct table_writer *writer, struct table_header *header,
                      struct nb_errctx *err)
{
    key_index_encode(&writer->keys);
    return write_section(writer, SECTION_KEYS, SECTION_REQUIRED,
                         writer->keys.section, writer->keys.section_bytes,
                         header, err);
}

static int write_unseen(const struct table_writer *writer,
                        struct table_header *header, struct nb_errctx *err)
{
    uint8_t bytes[UNSEEN_BYTES] = {0};
    bool row = writer->unseen.action == NB_UNSEEN_DEFAULT;
    put_u32(bytes + UNSEEN_ACTION, writer->unseen.action);
    put_u64(bytes + UNSEEN_DEFAULT_ROW, row ? writer->unseen.default_row : 0);
    return write_section(writer, SECTION_UNSEEN, SECTION_REQUIRED, bytes,
                         sizeof(bytes), header, err);
}

/* The section stands behind the rows already. */
static void end_protected(const struct table_writer *writer,
                          struct table_header *header)
{
    struct table_section *section = &header->sections[header->n_sections++];
    *section = writer->protected_rows;
    section->checksum = XXH3_64bits_digest(writer->protected_hash);
    header->file_bytes = section->offset + section->length;
}

/* Brings the rows of a keyed table into the file, and the default row's number
 * into their order. */
static int sort_rows(struct table_writer *writer, struct nb_errctx *err)
{
    struct nb_unseen_policy *unseen = &writer->unseen;
    enum key_kind kind = writer->keys.kind;
    uint64_t key;
    int rv = keyed_rows_sort(writer->keyed, writer->threads, append_rows,
                             writer, &writer->keys, &writer->clash, err);
    if (rv != 0) {
        return rv;
    }
    writer->keys.kind = kind;
    if (unseen->action != NB_UNSEEN_DEFAULT ||
        unseen->default_row >= writer->n_rows) {
        return 0;
    }
    rv = keyed_rows_key(writer->keyed, unseen->default_row, &key, err);
    if (rv == 0) {
        unseen->default_row = key_index_row(&writer->keys, key);
    }
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
    if (writer->unseen.action == NB_UNSEEN_DEFAULT &&
        writer->unseen.default_row >= writer->n_rows) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: row %" PRIu64 " for unseen ids, of %" PRIu64
                       " rows",
                       path, writer->unseen.default_row, writer->n_rows);
    }
    if (writer->protection != NULL &&
        (writer->n_rows < writer->protection->n_rows ||
         writer->n_residuals != writer->protection->n)) {
        return fail_protection(writer, "fewer", err);
    }
    int rv = nb_params_check(&writer->format, params, &why);
    return rv == 0 ? 0 : nb_fail(err, rv, "%s: %.100s", path, why.text);
}

int table_writer_commit(struct table_writer *writer,
                        const struct nb_params *params, const char *metadata,
                        struct nb_errctx *err)
{
    size_t metadata_bytes = strlen(metadata);
    int rv = writer->keyed != NULL ? sort_rows(writer, err) : 0;
    if (rv == 0) {
        rv = check_commit(writer, params, metadata_bytes, err);
    }
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
    if (writer->protection != NULL) {
        end_protected(writer, &header);
    }
    if (table_params_any(params)) {
        rv = write_params(writer, params, &header, err);
    }
    if (rv == 0 && writer->keyed != NULL) {
        rv = write_keys(writer, &header, err);
    }
    if (rv == 0 && writer->unseen.action != NB_UNSEEN_ZERO) {
        rv = write_unseen(writer, &header, err);
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

uint64_t table_writer_keys_bytes(const struct table_writer *writer)
{
    return writer->keys.section_bytes;
}

const struct key_clash *table_writer_clash(const struct table_writer *writer)
{
    return writer->clash.rows[1] > 0 ? &writer->clash : NULL;
}

void table_writer_destroy(struct table_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    atomic_file_destroy(writer->file);
    keyed_rows_destroy(writer->keyed);
    key_index_fini(&writer->keys);
    XXH3_freeState(writer->rows_hash);
    XXH3_freeState(writer->protected_hash);
    free(writer);
}
