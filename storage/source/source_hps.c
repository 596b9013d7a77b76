/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * HugeCTR's sparse model: a directory with `key`, n int64 keys, and
 * `emb_vector`, their n rows of fp32; the sizes tell n and the dim. The rows
 * are taken in file order; what the keys are is not looked at.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/io/file_io.h"
#include "storage/source/matrix_source.h"

#define KEYS      "key"
#define VECTORS   "emb_vector"
#define KEY_BYTES 8u

/* Size of the file of keys, beside that of the vectors. */
static int size_of_keys(const struct source *source, uint64_t *bytes,
                        struct nb_errctx *err)
{
    int n = (int)(strlen(source->path) - strlen(VECTORS));
    size_t room = (size_t)n + sizeof(KEYS);
    char *path = malloc(room);
    if (path == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", source->path);
    }
    snprintf(path, room, "%.*s%s", n, source->path, KEYS);
    int fd;
    int rv = file_open(path, &fd, bytes, err);
    if (rv == 0) {
        close(fd);
        if (*bytes % KEY_BYTES != 0) {
            rv = nb_fail(err, NB_ERR_SOURCE,
                         "%s: %" PRIu64 " bytes are not whole int64 keys", path,
                         *bytes);
        }
    }
    free(path);
    return rv;
}

static int hps_init(struct source *source, struct nb_errctx *err)
{
    uint64_t bytes = 0;
    int rv = size_of_keys(source, &bytes, err);
    if (rv != 0) {
        return rv;
    }
    uint64_t n_rows = bytes / KEY_BYTES;
    uint64_t n_values = source->file_bytes / sizeof(float);
    if (n_rows == 0 || n_values < n_rows || n_values % n_rows != 0 ||
        source->file_bytes % sizeof(float) != 0) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: %" PRIu64 " bytes are not %" PRIu64
                       " rows of fp32, one a key of '" KEYS "'",
                       source->path, source->file_bytes, n_rows);
    }
    if (n_values / n_rows > NB_DIM_MAX) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: %" PRIu64 " values a row; a table has 1 to %u",
                       source->path, n_values / n_rows, NB_DIM_MAX);
    }
    const struct matrix_shape shape = {.n_rows = n_rows,
                                       .dim = (uint32_t)(n_values / n_rows),
                                       .type = VALUE_F32};
    return matrix_begin(source, &shape, source_read_exactly, err);
}

const struct source_format source_hps = {
    .name = "hps",
    .file_inside = VECTORS,
    .struct_bytes = sizeof(struct matrix_source),
    .init = hps_init,
    .read = matrix_read,
    .rewind = matrix_rewind,
    .fini = matrix_fini,
};
