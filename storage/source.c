/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/file_io.h"
#include "storage/source_format.h"

static const struct source_format *const FORMATS[] = {
#define SOURCE(name) &source_##name,
#include "storage/sources.def"
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
        rv = nb_fail(err, NB_ERR_SOURCE,
                     "%s: format not recognized from the first %zu bytes; "
                     "name it",
                     path, n);
    }

out:
    free(head);
    return rv;
}

static int choose(int fd, const char *path,
                  const struct source_options *options,
                  const struct source_format **format, struct nb_errctx *err)
{
    const char *name = options->format;
    if (name == NULL || strcmp(name, "auto") == 0) {
        int rv = detect(fd, path, format, err);
        if (rv != 0) {
            return rv;
        }
    } else {
        *format = format_by_name(name);
        if (*format == NULL) {
            return nb_fail(err, NB_ERR_NOT_FOUND,
                           "%s: no source format '%.40s'", path, name);
        }
    }
    if (options->tensor != NULL && !(*format)->has_tensors) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: a %s file holds one matrix, no tensor to name",
                       path, (*format)->name);
    }
    return 0;
}

/* Reads up to the first row, and sees that options and file agree. */
static int init(struct source *source, const struct source_options *options,
                struct nb_errctx *err)
{
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
    int fd;
    uint64_t bytes;
    int rv = file_open(path, &fd, &bytes, err);
    if (rv != 0) {
        return rv;
    }
    struct source *opened = NULL;
    const struct source_format *chosen = NULL;
    rv = choose(fd, path, options, &chosen, err);
    if (rv != 0 || chosen == NULL) {
        goto err_close;
    }
    opened = calloc(1, chosen->struct_bytes);
    if (opened == NULL) {
        rv = nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
        goto err_close;
    }
    opened->format = chosen;
    opened->fd = fd;
    opened->file_bytes = bytes;
    opened->path = strdup(path);
    if (opened->path == NULL) {
        rv = nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
        goto err_destroy;
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint */
    rv = init(opened, options, err);
    if (rv != 0) {
        goto err_destroy;
    }
    *source = opened;
    return 0;

err_destroy:
    source_close(opened);
    return rv;
err_close:
    close(fd);
    return rv;
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

uint32_t source_dim(const struct source *source)
{
    return source->dim;
}

const char *source_format(const struct source *source)
{
    return source->format->name;
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
