/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/source.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/io/file_io.h"
#include "storage/source/source_format.h"
#include "storage/table/table_format.h"

static const struct source_format *const FORMATS[] = {
#define SOURCE(name) &source_##name,
#include "storage/source/sources.def"
#undef SOURCE
};

#define N_FORMATS (sizeof(FORMATS) / sizeof(FORMATS[0]))

const char *source_format_at(size_t i)
{
    return i < N_FORMATS ? FORMATS[i]->name : NULL;
}

static const struct source_format *format_by_name(const char *name)
{
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (strcmp(FORMATS[i]->name, name) == 0) {
            return FORMATS[i];
        }
    }
    return NULL;
}

/* A file that no format claims: a table of ours, or one to be named. */
static int refuse_unknown(const char *path, const uint8_t *head, size_t n,
                          struct nb_errctx *err)
{
    char names[sizeof(err->text)] = "";
    if (n >= TABLE_MAGIC_BYTES &&
        memcmp(head, TABLE_MAGIC, TABLE_MAGIC_BYTES) == 0) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: a quantized table, not the vectors of one; 'nibble "
                       "export' decodes it",
                       path);
    }
    size_t at = 0;
    for (size_t i = 0; i < N_FORMATS && at < sizeof(names); i++) {
        at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s",
                               i > 0 ? ", " : "", FORMATS[i]->name);
    }
    return nb_fail(err, NB_ERR_SOURCE,
                   "%.90s: format not recognized; name it with --format: %s",
                   path, names);
}

static int detect(int fd, const char *path, const struct source_format **format,
                  struct nb_errctx *err)
{
    uint8_t *head = malloc(SOURCE_HEAD_BYTES + 1);
    size_t n = 0;
    int rv = head == NULL ? NB_ERR_NOMEM
                          : file_read(fd, head, SOURCE_HEAD_BYTES, &n);
    if (rv != 0) {
        nb_fail(err, rv, "%s: cannot read: %s", path, nb_strerror(rv));
        goto out;
    }
    head[n] = '\0';
    *format = NULL;
    for (size_t i = 0; i < N_FORMATS && *format == NULL; i++) {
        if (FORMATS[i]->probe != NULL && FORMATS[i]->probe(head, n)) {
            *format = FORMATS[i];
        }
    }
    if (*format == NULL) {
        rv = refuse_unknown(path, head, n, err);
    }

out:
    free(head);
    return rv;
}

/* `path`, or the file `inside` it; the caller frees it. */
static char *file_path(const char *path, const char *inside)
{
    if (inside == NULL) {
        return strdup(path);
    }
    size_t room = strlen(path) + 1 + strlen(inside) + 1;
    char *joined = malloc(room);
    if (joined != NULL) {
        snprintf(joined, room, "%s/%s", path, inside);
    }
    return joined;
}

/* If the path is that of a directory of some format: the format, and the file
 * in it. Otherwise leaves both alone. */
static int find_directory(const char *path, const struct source_format **format,
                          char **file, struct nb_errctx *err)
{
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (FORMATS[i]->file_inside == NULL) {
            continue;
        }
        char *inside = file_path(path, FORMATS[i]->file_inside);
        if (inside == NULL) {
            return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
        }
        if (access(inside, F_OK) == 0) {
            *format = FORMATS[i];
            *file = inside;
            return 0;
        }
        free(inside);
    }
    return 0;
}

/* Tells format and file as far as options and path do; *format stays NULL if
 * the content is to tell. The caller frees *file. */
static int locate(const char *path, const struct source_options *options,
                  const struct source_format **format, char **file,
                  struct nb_errctx *err)
{
    const char *name = options->format;
    const char *inside = NULL;
    if (name == NULL || strcmp(name, "auto") == 0) {
        int rv = find_directory(path, format, file, err);
        if (rv != 0 || *file != NULL) {
            return rv;
        }
    } else {
        *format = format_by_name(name);
        if (*format == NULL) {
            return nb_fail(err, NB_ERR_NOT_FOUND,
                           "%s: no source format '%.40s'", path, name);
        }
        inside = (*format)->file_inside;
    }
    *file = file_path(path, inside);
    return *file != NULL
               ? 0
               : nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
}

/* The source of a file, of this format unless it is NULL; its path is not yet
 * set. */
static int create(const char *file, const struct source_format *format,
                  struct source **source, struct nb_errctx *err)
{
    int fd;
    uint64_t bytes;
    int rv = file_open(file, &fd, &bytes, err);
    if (rv != 0) {
        return rv;
    }
    if (format == NULL) {
        rv = detect(fd, file, &format, err);
        if (rv != 0) {
            goto err_close;
        }
    }
    struct source *created = calloc(1, format->struct_bytes);
    if (created == NULL) {
        rv = nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", file);
        goto err_close;
    }
    created->format = format;
    created->fd = fd;
    created->file_bytes = bytes;
    *source = created;
    return 0;

err_close:
    close(fd);
    return rv;
}

/* Reads up to the first row, and sees that options and file agree. */
static int init(struct source *source, const struct source_options *options,
                struct nb_errctx *err)
{
    if (options->tensor != NULL && !source->format->has_tensors) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: a %s file holds one matrix, no tensor to name",
                       source->path, source->format->name);
    }
    if (options->dim > NB_DIM_MAX) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: dim %" PRIu64 "; a table has 1 to %u", source->path,
                       options->dim, NB_DIM_MAX);
    }
    int rv = source_seek(source, 0, err);
    if (rv != 0) {
        return rv;
    }
    source->options = options;
    rv = source->format->init(source, err);
    source->options = NULL;
    if (rv == 0 && options->dim != 0 && options->dim != source->dim) {
        rv = nb_fail(err, NB_ERR_INVALID,
                     "%s: rows are of %" PRIu32 " values, not %" PRIu64,
                     source->path, source->dim, options->dim);
    }
    return rv;
}

int source_open(const char *path, const struct source_options *options,
                struct source **source, struct nb_errctx *err)
{
    const struct source_format *format = NULL;
    char *file = NULL;
    int rv = locate(path, options, &format, &file, err);
    if (rv != 0) {
        return rv;
    }
    struct source *opened = NULL;
    rv = create(file, format, &opened, err);
    if (opened == NULL) {
        free(file);
        return rv;
    }
    opened->path = file;
    (void)posix_fadvise(opened->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint */
    rv = init(opened, options, err);
    if (rv != 0) {
        source_close(opened);
        return rv;
    }
    *source = opened;
    return 0;
}

void source_close(struct source *source)
{
    if (source == NULL) {
        return;
    }
    source->format->fini(source);
    close(source->fd);
    free(source->path);
    free(source);
}

int source_fd(const struct source *source)
{
    return source->fd;
}

uint32_t source_dim(const struct source *source)
{
    return source->dim;
}

const char *source_format(const struct source *source)
{
    return source->format->name;
}

const char *source_path(const struct source *source)
{
    return source->path;
}

uint64_t source_rows(const struct source *source)
{
    return source->n_rows;
}

uint64_t source_bytes_read(const struct source *source)
{
    return source->bytes_read;
}

uint64_t source_bytes(const struct source *source)
{
    return source->file_bytes;
}

uint64_t source_line(const struct source *source, uint64_t row)
{
    return source->format->line != NULL ? source->format->line(source, row) : 0;
}

int source_read(struct source *source, float *values, size_t max_rows,
                size_t *n_rows, struct nb_errctx *err)
{
    assert(max_rows > 0);
    return source->format->read(source, values, max_rows, n_rows, err);
}

int source_watch_words(struct source *source, source_word_fn *watch, void *arg,
                       struct nb_errctx *err)
{
    if (watch != NULL && !source->format->has_words) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: rows of a %s file have no words to be their keys",
                       source->path, source->format->name);
    }
    source->watch_word = watch;
    source->watch_arg = arg;
    return 0;
}

int source_rewind(struct source *source, struct nb_errctx *err)
{
    return source->format->rewind(source, err);
}

/* ---- for the formats ----------------------------------------------------- */

int source_read_bytes(struct source *source, void *to, size_t n, size_t *got,
                      struct nb_errctx *err)
{
    int rv = file_read(source->fd, to, n, got);
    if (rv != 0) {
        return nb_fail(err, rv, "%s: cannot read: %s", source->path,
                       nb_strerror(rv));
    }
    source->bytes_read += *got;
    return 0;
}

int source_read_exactly(struct source *source, void *to, size_t n,
                        struct nb_errctx *err)
{
    size_t got;
    int rv = source_read_bytes(source, to, n, &got, err);
    if (rv == 0 && got < n) {
        rv = nb_fail(err, NB_ERR_SOURCE,
                     "%s: ends at %" PRIu64 " bytes, %zu more were to come",
                     source->path, source->bytes_read, n - got);
    }
    return rv;
}

int source_seek(struct source *source, uint64_t offset, struct nb_errctx *err)
{
    if (lseek(source->fd, (off_t)offset, SEEK_SET) < 0) {
        int rv = -errno;
        return nb_fail(err, rv, "%s: cannot seek: %s", source->path,
                       nb_strerror(rv));
    }
    source->bytes_read = offset;
    return 0;
}
