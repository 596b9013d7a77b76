/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quant/bytes.h"
#include "storage/file_io.h"
#include "storage/table_checksum.h"
#include "storage/table_format.h"
#include "storage/table_metadata.h"
#include "storage/table_params.h"

/* Bytes of a mapping that one call populates or unmaps. */
#define MAP_STEP ((size_t)4 << 20)

/* Of Linux 5.14; headers may be older than the kernel. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

struct table {
    struct nb_rows rows;
    struct table_info info;
    struct table_metadata metadata;
    char *metadata_text;
    struct table_params params;
    struct table_header header;
    void *map;
    size_t map_bytes;
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

static int map_file(struct opening *opening, struct table *table)
{
    size_t n = (size_t)opening->header.file_bytes;
    void *map = mmap(NULL, n, PROT_READ, MAP_SHARED, opening->fd, 0);
    if (map == MAP_FAILED) {
        return fail_errno(opening, -errno, "cannot map");
    }
    table->map = map;
    table->map_bytes = n;
    /* Rows are asked for in any order; read-ahead would only evict others. The
     * mapping works without the advice. */
    (void)madvise(map, n, MADV_RANDOM);

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

static void describe(const struct opening *opening, struct table *table)
{
    const struct table_header *header = &opening->header;
    const struct table_section *rows =
        table_header_section(header, SECTION_ROWS);
    const struct table_section *params =
        table_header_section(header, SECTION_PARAMS);
    table->header = *header;
    table->rows = (struct nb_rows){
        .format = header->format,
        .base = (const uint8_t *)table->map + rows->offset,
        .n_rows = header->n_rows,
        .stride = (size_t)header->stride,
        .params = params != NULL ? &table->params.view : NULL,
    };
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
    if (rv == 0 && verify == TABLE_VERIFY_FULL) {
        rv = table_check_file(opening->fd, &opening->header, NULL,
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
    rv = open_parts(&opening, verify, opened);
    if (rv != 0) {
        table_close(opened);
        goto out_close;
    }
    *table = opened;

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
        rv = table_check_file(fd, &table->header, pace, path, err);
    }
    close(fd);
    return rv;
}

int table_prefault(const struct table *table, const struct io_pace *pace)
{
    for (size_t at = 0; at < table->map_bytes; at += MAP_STEP) {
        size_t left = table->map_bytes - at;
        size_t n = left < MAP_STEP ? left : MAP_STEP;
        uint8_t *from = (uint8_t *)table->map + at;
        int rv = io_pace_step(pace, n);
        if (rv != 0) {
            return rv;
        }
        if (madvise(from, n, MADV_POPULATE_READ) == 0) {
            continue;
        }
        if (errno != EINVAL) {
            return -errno;
        }
        /* Before Linux 5.14: into the page cache at least. */
        (void)madvise(from, n, MADV_WILLNEED);
    }
    return 0;
}

/* From the end, and in steps: in between, threads that map or fault get the
 * lock of the address space, which is held for long by unmapping much. */
static void unmap(struct table *table)
{
    while (table->map_bytes > 0) {
        size_t n = table->map_bytes % MAP_STEP;
        n = n > 0 ? n : MAP_STEP;
        table->map_bytes -= n;
        munmap((uint8_t *)table->map + table->map_bytes, n);
    }
}

void table_close(struct table *table)
{
    if (table == NULL) {
        return;
    }
    if (table->map != NULL) {
        unmap(table);
    }
    table_metadata_fini(&table->metadata);
    free(table->metadata_text);
    table_params_fini(&table->params);
    free(table);
}

const struct nb_rows *table_rows(const struct table *table)
{
    return &table->rows;
}

const struct table_info *table_info(const struct table *table)
{
    return &table->info;
}
