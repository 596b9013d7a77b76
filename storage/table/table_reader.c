/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table/cold_rows.h"
#include "storage/table/table_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "quant/bytes.h"
#include "storage/io/file_io.h"
#include "storage/table/key_index.h"
#include "storage/table/table_checksum.h"
#include "storage/table/table_format.h"
#include "storage/table/table_map.h"
#include "storage/table/table_metadata.h"
#include "storage/table/table_params.h"

struct table {
    struct nb_rows rows;
    struct table_info info;
    struct table_metadata metadata;
    char *metadata_text;
    struct table_params params;
    struct nb_protected protect; /* blocks owned */
    struct nb_protected_block *blocks;
    struct table_header header;
    struct key_index keys;
    struct nb_unseen_policy unseen;
    struct table_map map;
    char *path; /* for messages */
};

/* What opening knows on its way. */
struct opening {
    const char *path;
    int fd;
    uint64_t file_bytes;
    struct file_id file;
    struct table_header header;
    uint64_t checksum; /* of the header */
    struct nb_errctx *err;
};

static int fail_errno(const struct opening *opening, int rv, const char *what)
{
    return nb_fail(opening->err, rv, "%s: %s: %s", opening->path, what,
                   nb_strerror(rv));
}

static int read_header(struct opening *opening)
{
    uint8_t bytes[TABLE_HEADER_MAX];
    size_t n = opening->file_bytes < sizeof(bytes) ? (size_t)opening->file_bytes
                                                   : sizeof(bytes);
    int rv = file_read_at(opening->fd, bytes, n, 0);
    if (rv != 0) {
        return fail_errno(opening, rv, "cannot read the header");
    }
    rv = table_header_decode(bytes, n, opening->file_bytes, opening->path,
                             &opening->header, opening->err);
    if (rv == 0) {
        opening->checksum = get_u64(bytes + HEADER_CHECKSUM);
    }
    return rv;
}

/* Reads and checks a whole section, and ends it with a 0. The caller frees
 * *bytes. */
static int read_section(struct opening *opening,
                        const struct table_section *section, char **bytes)
{
    const char *kind = section_kind_name(section->kind);
    size_t n = (size_t)section->length;
    char *read = malloc(n + 1);
    if (read == NULL) {
        return fail_errno(opening, NB_ERR_NOMEM, kind);
    }
    read[n] = '\0';
    int rv = file_read_at(opening->fd, read, n, section->offset);
    if (rv != 0) {
        nb_fail(opening->err, rv, "%s: cannot read the %s section: %s",
                opening->path, kind, nb_strerror(rv));
    } else {
        rv = section_check_bytes(read, section, opening->path, opening->err);
    }
    if (rv != 0) {
        free(read);
        return rv;
    }
    *bytes = read;
    return 0;
}

static int read_metadata(struct opening *opening, struct table *table)
{
    const struct table_section *section =
        table_header_section(&opening->header, SECTION_METADATA);
    int rv = read_section(opening, section, &table->metadata_text);
    if (rv != 0) {
        return rv;
    }
    return table_metadata_parse(table->metadata_text, (size_t)section->length,
                                opening->path, &table->metadata, opening->err);
}

static int read_params(struct opening *opening, struct table *table)
{
    const struct table_section *section =
        table_header_section(&opening->header, SECTION_PARAMS);
    const struct nb_format *format = &opening->header.format;
    if (section == NULL) {
        struct nb_errctx why;
        return nb_params_check(format, NULL, &why) == 0
                   ? 0
                   : nb_fail(opening->err, NB_ERR_FORMAT,
                             "%s: no parameters section: %.100s", opening->path,
                             why.text);
    }
    char *bytes = NULL;
    int rv = read_section(opening, section, &bytes);
    if (rv == 0) {
        rv = table_params_decode(
            (const uint8_t *)bytes, (size_t)section->length, section->offset,
            format, opening->path, &table->params, opening->err);
        free(bytes);
    }
    return rv;
}

static int check_unseen(struct opening *opening,
                        const struct table_section *section,
                        const struct nb_unseen_policy *unseen)
{
    if (unseen->action > NB_UNSEEN_ERROR) {
        return nb_fail(opening->err, NB_ERR_UNSUPPORTED,
                       "%s: unseen ids section at %" PRIu64 ": policy %" PRIu32
                       " needs a newer program",
                       opening->path, section->offset, unseen->action);
    }
    bool row = unseen->action == NB_UNSEEN_DEFAULT;
    if (unseen->action == NB_UNSEEN_ZERO ||
        (row ? unseen->default_row >= opening->header.n_rows
             : unseen->default_row != 0)) {
        return nb_fail(opening->err, NB_ERR_FORMAT,
                       "%s: unseen ids section at %" PRIu64 ": policy %" PRIu32
                       ", row %" PRIu64,
                       opening->path, section->offset, unseen->action,
                       unseen->default_row);
    }
    return 0;
}

static int read_keys(struct opening *opening, struct table *table)
{
    const struct table_section *section =
        table_header_section(&opening->header, SECTION_KEYS);
    if (section == NULL) {
        return 0;
    }
    size_t n = (size_t)section->length;
    uint8_t *bytes = key_index_memory(n + 1);
    if (bytes == NULL) {
        return fail_errno(opening, NB_ERR_NOMEM, "key index");
    }
    int rv = file_read_at(opening->fd, bytes, n, section->offset);
    if (rv != 0) {
        fail_errno(opening, rv, "cannot read the key index section");
    } else {
        rv = section_check_bytes(bytes, section, opening->path, opening->err);
    }
    if (rv == 0) {
        rv = key_index_decode(bytes, n, section->offset, opening->header.n_rows,
                              opening->path, &table->keys, opening->err);
    }
    if (rv != 0) {
        free(bytes);
    }
    return rv;
}

static int read_unseen(struct opening *opening, struct table *table)
{
    const struct table_section *section =
        table_header_section(&opening->header, SECTION_UNSEEN);
    if (section == NULL) {
        return 0;
    }
    char *bytes = NULL;
    int rv = read_section(opening, section, &bytes);
    if (rv != 0 || bytes == NULL) {
        return rv;
    }
    if (section->length != UNSEEN_BYTES || get_u32(bytes + UNSEEN_ZERO) != 0) {
        rv = nb_fail(opening->err, NB_ERR_FORMAT,
                     "%s: unseen ids section at %" PRIu64
                     ": length, or field at %d is not 0",
                     opening->path, section->offset, UNSEEN_ZERO);
    } else {
        table->unseen = (struct nb_unseen_policy){
            .action = get_u32(bytes + UNSEEN_ACTION),
            .default_row = get_u64(bytes + UNSEEN_DEFAULT_ROW)};
        rv = check_unseen(opening, section, &table->unseen);
    }
    free(bytes);
    return rv;
}

/* Blocks are read; residual rows are in the mapping. */
static int read_protected(struct opening *opening, struct table *table)
{
    const struct table_header *header = &opening->header;
    const struct table_section *section =
        table_header_section(header, SECTION_PROTECTED);
    struct nb_errctx why;
    size_t row_bytes = 0;
    if (section == NULL) {
        return 0;
    }
    (void)nb_row_bytes(&header->format, &row_bytes); /* checked before */
    size_t n =
        (size_t)table_protected_blocks(header->n_rows) * sizeof(*table->blocks);
    table->blocks = aligned_alloc(sizeof(*table->blocks), n);
    if (table->blocks == NULL) {
        return fail_errno(opening, NB_ERR_NOMEM, "protected rows");
    }
    int rv = file_read_at(opening->fd, table->blocks, n, section->offset);
    if (rv != 0) {
        return fail_errno(opening, rv, "cannot read the protected rows");
    }
    table->protect = (struct nb_protected){
        .blocks = table->blocks,
        .n = (section->length - n) / row_bytes,
        .stride = row_bytes,
    };
    rv = nb_protected_check(&table->protect, header->n_rows, &why);
    return rv == 0
               ? 0
               : nb_fail(opening->err, NB_ERR_FORMAT,
                         "%s: protected rows section at %" PRIu64 ": %.100s",
                         opening->path, section->offset, why.text);
}

/* A block of the row section as it is verified. */
struct key_check {
    const struct table *table;
    const struct table_header *header;
    const char *path;
    uint64_t row;
};

static int check_row_keys(void *arg, const uint8_t *rows, size_t n,
                          struct nb_errctx *err)
{
    struct key_check *check = arg;
    size_t stride = (size_t)check->header->stride;
    size_t row_bytes = 0;
    (void)nb_row_bytes(&check->header->format, &row_bytes); /* checked before */
    for (size_t at = 0; at < n; at += stride, check->row++) {
        uint64_t key = get_u64(rows + at + row_bytes);
        if (key_index_row(&check->table->keys, key) != check->row) {
            return nb_fail(err, NB_ERR_FORMAT,
                           "%s: row section: key %" PRIu64 " of row %" PRIu64
                           " is not where the key index has it",
                           check->path, key, check->row);
        }
    }
    return 0;
}

/* Every byte that opening did not look at, and that each key leads to its row,
 * so that no two are the same. */
static int verify_rest(const struct table *table,
                       const struct table_header *header, int fd,
                       const struct io_pace *pace, const char *path,
                       struct nb_errctx *err)
{
    struct key_check check = {.table = table, .header = header, .path = path};
    const struct section_visitor visitor = {
        .visit = check_row_keys,
        .arg = &check,
        .item_bytes = (size_t)header->stride,
    };
    bool keyed = table->keys.section != NULL;
    return table_check_file(fd, header, keyed ? &visitor : NULL, pace, path,
                            err);
}

static int map_file(struct opening *opening, struct table *table)
{
    size_t n = (size_t)opening->header.file_bytes;
    int rv = table_map_file(opening->fd, n, &table->map);
    if (rv != 0) {
        return fail_errno(opening, rv, "cannot map");
    }
    struct stat stat;
    if (fstat(opening->fd, &stat) != 0) {
        return fail_errno(opening, -errno, "fstat");
    }
    opening->file = (struct file_id){stat.st_dev, stat.st_ino};
    if ((uint64_t)stat.st_size != opening->file_bytes) {
        return nb_fail(opening->err, NB_ERR_TRUNCATED,
                       "%s: changed from %" PRIu64 " to %" PRIu64
                       " bytes while being opened",
                       opening->path, opening->file_bytes,
                       (uint64_t)stat.st_size);
    }
    return 0;
}

/* Where rows are in the mapping. */
static void find_rows(struct table *table)
{
    const uint8_t *map = table->map.at;
    const struct table_header *header = &table->header;
    const struct table_section *protected =
        table_header_section(header, SECTION_PROTECTED);
    table->rows.base = map + table_header_section(header, SECTION_ROWS)->offset;
    if (protected != NULL) {
        table->protect.residuals =
            map + protected->offset +
            table_protected_blocks(header->n_rows) * sizeof(*table->blocks);
    }
}

static void describe(const struct opening *opening, struct table *table)
{
    const struct table_header *header = &opening->header;
    const struct table_section *rows =
        table_header_section(header, SECTION_ROWS);
    const struct table_section *params =
        table_header_section(header, SECTION_PARAMS);
    table->header = *header;
    bool keyed = table->keys.section != NULL;
    table->rows = (struct nb_rows){
        .format = header->format,
        .n_rows = header->n_rows,
        .stride = (size_t)header->stride,
        .params = params != NULL ? &table->params.view : NULL,
        .keys = keyed ? &table->keys.view : NULL,
        .protect = table->blocks != NULL ? &table->protect : NULL,
    };
    find_rows(table);
    table->info = (struct table_info){
        .format = header->format,
        .n_rows = header->n_rows,
        .stride = header->stride,
        .file_bytes = header->file_bytes,
        .rows_offset = rows->offset,
        .rows_checksum = rows->checksum,
        .checksum = opening->checksum,
        .columns = table_params_columns(table->rows.params),
        .params_bytes = params != NULL ? params->length : 0,
        .params_checksum = params != NULL ? params->checksum : 0,
        .keys = table_keys_at(keyed ? 1u + table->keys.kind : 0),
        .keys_bytes = table->keys.section_bytes,
        .unseen = table->unseen,
        .n_protected = table->protect.n,
        .search = table->metadata.search,
        .source = table->metadata.source,
        .metadata = table->metadata_text,
        .has_stats = table->metadata.has_stats,
        .stats = table->metadata.stats,
        .file = opening->file,
    };
}

static int open_parts(struct opening *opening, enum table_verify verify,
                      struct table *table)
{
    int rv = read_header(opening);
    if (rv == 0) {
        rv = read_metadata(opening, table);
    }
    if (rv == 0) {
        rv = read_params(opening, table);
    }
    if (rv == 0) {
        rv = read_keys(opening, table);
    }
    if (rv == 0) {
        rv = read_unseen(opening, table);
    }
    if (rv == 0) {
        rv = read_protected(opening, table);
    }
    if (rv == 0 && verify == TABLE_VERIFY_FULL) {
        rv = verify_rest(table, &opening->header, opening->fd, NULL,
                         opening->path, opening->err);
    }
    if (rv == 0) {
        rv = map_file(opening, table);
    }
    if (rv == 0) {
        describe(opening, table);
    }
    return rv;
}

int table_open(const char *path, enum table_verify verify, struct table **table,
               struct nb_errctx *err)
{
    struct opening opening = {.path = path, .err = err};
    int rv = file_open(path, &opening.fd, &opening.file_bytes, err);
    if (rv != 0) {
        return rv;
    }
    struct table *opened = calloc(1, sizeof(*opened));
    if (opened == NULL) {
        rv = fail_errno(&opening, NB_ERR_NOMEM, "cannot open");
        goto out_close;
    }
    opened->path = strdup(path);
    if (opened->path == NULL) {
        rv = fail_errno(&opening, NB_ERR_NOMEM, "cannot open");
        goto err_table;
    }
    rv = open_parts(&opening, verify, opened);
    if (rv != 0) {
        goto err_table;
    }
    *table = opened;
    goto out_close;

err_table:
    table_close(opened);
out_close:
    close(opening.fd);
    return rv;
}

int table_verify_rest(const struct table *table, const char *path,
                      const struct io_pace *pace, struct nb_errctx *err)
{
    const struct table_info *info = &table->info;
    struct file_id file;
    uint64_t bytes;
    int fd;
    int rv = file_open(path, &fd, &bytes, err);
    if (rv != 0) {
        return rv;
    }
    rv = file_id_of(fd, &file);
    if (rv == 0 &&
        (file.device != info->file.device || file.inode != info->file.inode ||
         bytes != info->file_bytes)) {
        rv = nb_fail(err, NB_ERR_TRUNCATED,
                     "%s: not the file any more that was opened", path);
    } else if (rv != 0) {
        nb_fail(err, rv, "%s: fstat: %s", path, nb_strerror(rv));
    } else {
        rv = verify_rest(table, &table->header, fd, pace, path, err);
    }
    close(fd);
    return rv;
}

int table_prefault(const struct table *table, const struct io_pace *pace)
{
    return table->map.residency == RESIDENCY_MAP
               ? table_map_prefault(&table->map, pace)
               : 0;
}

void table_close(struct table *table)
{
    if (table == NULL) {
        return;
    }
    table_map_close(&table->map);
    free(table->path);
    table_metadata_fini(&table->metadata);
    free(table->metadata_text);
    table_params_fini(&table->params);
    key_index_fini(&table->keys);
    free(table->blocks);
    free(table);
}

const char *table_residency_at(size_t i)
{
    static const char *const names[] = {[RESIDENCY_MAP] = "map",
                                        [RESIDENCY_POPULATE] = "populate",
                                        [RESIDENCY_LOCK] = "lock",
                                        [RESIDENCY_HUGE] = "huge"};
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

int table_reside(struct table *table, enum table_residency residency,
                 const struct io_pace *pace, struct nb_errctx *err)
{
    int rv = table_map_reside(&table->map, residency, pace, table->path, err);
    if (rv == 0) {
        find_rows(table);
    }
    return rv;
}

enum table_residency table_residency(const struct table *table)
{
    return table->map.residency;
}

bool table_may_be_cold(const struct table *table)
{
    return table->map.residency == RESIDENCY_MAP ||
           table->map.residency == RESIDENCY_POPULATE;
}

size_t table_find_cold(const struct table *table, const struct nb_ids *ids,
                       uint16_t look, size_t max, uint64_t *offsets)
{
    const struct nb_unseen_policy *unseen = &table->unseen;
    size_t n = cold_rows_find(&table->map, &table->rows, &table->keys, ids,
                              look, max, offsets);
    /* Whether an id of a keyed table is unseen is known from its row only. */
    if (unseen->action == NB_UNSEEN_DEFAULT && ids->n > 0) {
        n += cold_rows_find_row(&table->map, &table->rows, unseen->default_row,
                                look, max - n, offsets + n);
    }
    return n;
}

void table_read_pages(const struct table *table, const uint64_t *offsets,
                      size_t n)
{
    table_map_read(&table->map, offsets, n);
}

uint64_t table_huge_bytes(const struct table *table)
{
    return table->map.huge_bytes;
}

const char *table_keys_at(size_t i)
{
    static const char *const names[] = {"none", [1 + KEY_NUMBERS] = "numbers",
                                        [1 + KEY_WORDS] = "words"};
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

uint64_t table_key(const struct table *table, uint64_t row)
{
    const struct nb_rows *rows = &table->rows;
    size_t row_bytes = 0;
    (void)nb_row_bytes(&rows->format, &row_bytes); /* checked when opened */
    return get_u64((const uint8_t *)rows->base + row * rows->stride +
                   row_bytes);
}

uint64_t table_word_key(const char *word, size_t n)
{
    return XXH3_64bits(word, n);
}

const struct nb_rows *table_rows(const struct table *table)
{
    return &table->rows;
}

const struct table_info *table_info(const struct table *table)
{
    return &table->info;
}
