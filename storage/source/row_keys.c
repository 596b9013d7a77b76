/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/row_keys.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quant/bytes.h"
#include "storage/io/file_io.h"
#include "storage/source/npy_reader.h"
#include "storage/source/source_format.h"

struct row_keys {
    struct source file; /* path, descriptor and position; no format */
    uint64_t n_read;
    uint64_t n_keys;
};

static int begin_npy(struct row_keys *keys, struct nb_errctx *err)
{
    struct source *file = &keys->file;
    struct npy_header header;
    int rv =
        npy_read_header(file, source_read_exactly, file->path, &header, err);
    if (rv != 0) {
        return rv;
    }
    if (strcmp(header.descr, "<u8") != 0 && strcmp(header.descr, "<i8") != 0) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: .npy of '%s'; keys are integers of 64 bits, <u8 or "
                       "<i8",
                       file->path, header.descr);
    }
    if (header.n_axes != 1) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: .npy with %u axes; keys are a vector, one axis",
                       file->path, header.n_axes);
    }
    keys->n_keys = header.axes[0];
    header.axes[1] = 1;
    return npy_check_extent(&header, file->path, NB_KEY_BYTES, file->file_bytes,
                            err);
}

static int begin(struct row_keys *keys, struct nb_errctx *err)
{
    struct source *file = &keys->file;
    uint8_t head[NPY_MAGIC_BYTES];
    size_t n;
    int rv = source_read_bytes(file, head, sizeof(head), &n, err);
    if (rv == 0) {
        rv = source_seek(file, 0, err);
    }
    if (rv != 0) {
        return rv;
    }
    if (npy_has_magic(head, n)) {
        return begin_npy(keys, err);
    }
    keys->n_keys = file->file_bytes / NB_KEY_BYTES;
    return file->file_bytes % NB_KEY_BYTES == 0
               ? 0
               : nb_fail(err, NB_ERR_SOURCE,
                         "%s: %" PRIu64 " bytes are not whole keys of %u bytes",
                         file->path, file->file_bytes, NB_KEY_BYTES);
}

int row_keys_open(const char *path, struct row_keys **keys,
                  struct nb_errctx *err)
{
    struct row_keys *opened = calloc(1, sizeof(*opened));
    if (opened == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    opened->file.fd = -1;
    opened->file.path = strdup(path);
    int rv =
        opened->file.path == NULL
            ? nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path)
            : file_open(path, &opened->file.fd, &opened->file.file_bytes, err);
    if (rv == 0) {
        rv = begin(opened, err);
    }
    if (rv != 0) {
        row_keys_close(opened);
        return rv;
    }
    *keys = opened;
    return 0;
}

uint64_t row_keys_count(const struct row_keys *keys)
{
    return keys->n_keys;
}

int row_keys_read(struct row_keys *keys, size_t n, uint64_t *to,
                  struct nb_errctx *err)
{
    if (n > keys->n_keys - keys->n_read) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: %" PRIu64 " keys, and the source has more rows",
                       keys->file.path, keys->n_keys);
    }
    int rv = source_read_exactly(&keys->file, to, n * NB_KEY_BYTES, err);
    keys->n_read += n;
    return rv; /* the host is little-endian, quant/bytes.h sees to it */
}

int row_keys_end(const struct row_keys *keys, struct nb_errctx *err)
{
    return keys->n_read == keys->n_keys
               ? 0
               : nb_fail(err, NB_ERR_INVALID,
                         "%s: %" PRIu64 " keys for %" PRIu64 " rows",
                         keys->file.path, keys->n_keys, keys->n_read);
}

void row_keys_close(struct row_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    if (keys->file.fd >= 0) {
        close(keys->file.fd);
    }
    free(keys->file.path);
    free(keys);
}
