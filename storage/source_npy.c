/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* NumPy .npy files: versions 1 to 3, little-endian floats in C order, two
 * axes. */
#include <stdlib.h>
#include <string.h>

#include <inttypes.h>

#include "quant/bytes.h"
#include "quant/checked.h"
#include "quant/half.h"
#include "storage/npy_header.h"
#include "storage/source.h"
#include "storage/source_format.h"

#define BLOCK_VALUES 16384u /* converted at once where the type is not fp32 */

struct npy_source {
    struct source base;
    uint64_t data_offset;
    uint64_t rows_left;
    size_t value_bytes; /* 2, 4 or 8 */
    uint8_t *block;     /* BLOCK_VALUES of the file's type; NULL for fp32 */
};

static struct npy_source *npy_of(struct source *source)
{
    return (struct npy_source *)source;
}

static bool npy_probe(const uint8_t *head, size_t n)
{
    return n >= NPY_MAGIC_BYTES &&
           memcmp(head, NPY_MAGIC, NPY_MAGIC_BYTES) == 0;
}

/* Magic, version, length, then the header's text: returned in *text, which
 * the caller frees. */
static int read_header_text(struct source *source, char **text, size_t *n,
                            struct nb_errctx *err)
{
    uint8_t prefix[NPY_PREFIX_MAX];
    size_t got;
    int rv = source_read_bytes(source, prefix, NPY_PREFIX_V1, &got, err);
    if (rv != 0) {
        return rv;
    }
    if (got < NPY_PREFIX_V1 || !npy_probe(prefix, got)) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: not a .npy file (magic, offset 0)", source->path);
    }
    unsigned version = prefix[NPY_MAGIC_BYTES];
    if (version < 1 || version > 3) {
        return nb_fail(err, NB_ERR_UNSUPPORTED, "%s: .npy version %u",
                       source->path, version);
    }
    uint32_t length = get_u16(prefix + NPY_LENGTH);
    if (version > 1) {
        size_t more = NPY_PREFIX_MAX - NPY_PREFIX_V1;
        rv = source_read_bytes(source, prefix + NPY_PREFIX_V1, more, &got, err);
        if (rv != 0) {
            return rv;
        }
        length = got == more ? get_u32(prefix + NPY_LENGTH) : UINT32_MAX;
    }
    if (length > NPY_HEADER_MAX) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: .npy header of %" PRIu32
                       " bytes (offset %d), the limit is %u",
                       source->path, length, NPY_LENGTH, NPY_HEADER_MAX);
    }
    char *read = malloc((size_t)length + 1);
    if (read == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", source->path);
    }
    rv = source_read_bytes(source, read, length, &got, err);
    if (rv == 0 && got < length) {
        rv = nb_fail(err, NB_ERR_SOURCE,
                     "%s: .npy header of %" PRIu32
                     " bytes, file ends after %zu of them",
                     source->path, length, got);
    }
    if (rv != 0) {
        free(read);
        return rv;
    }
    read[length] = '\0';
    *text = read;
    *n = length;
    return 0;
}

/* Whether the file is as long as its shape says. */
static int check_extent(const struct npy_source *npy, struct nb_errctx *err)
{
    const struct source *source = &npy->base;
    uint64_t bytes;
    uint64_t end;
    /* dim is 16 bits and value_bytes at most 8: their product is small. */
    if (!checked_mul(source->n_rows, source->dim * npy->value_bytes, &bytes) ||
        !checked_add(bytes, npy->data_offset, &end) ||
        end != source->file_bytes) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: .npy header says %" PRIu64 " x %" PRIu32
                       " values of %zu bytes, file has %" PRIu64
                       " bytes of data",
                       source->path, source->n_rows, source->dim,
                       npy->value_bytes, source->file_bytes - npy->data_offset);
    }
    return 0;
}

static int npy_init(struct source *source, struct nb_errctx *err)
{
    struct npy_source *npy = npy_of(source);
    char *text = NULL;
    size_t n = 0;
    int rv = read_header_text(source, &text, &n, err);
    if (rv != 0) {
        return rv;
    }
    struct npy_header header;
    rv = npy_header_parse(text, n, source->path, &header, err);
    free(text);
    if (rv != 0) {
        return rv;
    }
    source->dim = header.dim;
    source->n_rows = header.n_rows;
    npy->value_bytes = header.value_bytes;
    npy->data_offset = source->bytes_read;
    npy->rows_left = header.n_rows;
    rv = check_extent(npy, err);
    if (rv != 0) {
        return rv;
    }
    if (npy->value_bytes != sizeof(float)) {
        npy->block = malloc(BLOCK_VALUES * npy->value_bytes);
        if (npy->block == NULL) {
            return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory",
                           source->path);
        }
    }
    return 0;
}

static int read_exactly(struct source *source, void *to, size_t n,
                        struct nb_errctx *err)
{
    size_t got;
    int rv = source_read_bytes(source, to, n, &got, err);
    if (rv == 0 && got < n) {
        rv = nb_fail(err, NB_ERR_SOURCE,
                     "%s: ends at %" PRIu64 " bytes, had %" PRIu64
                     " when opened",
                     source->path, source->bytes_read, source->file_bytes);
    }
    return rv;
}

static int read_converted(struct npy_source *npy, float *values, size_t n,
                          struct nb_errctx *err)
{
    const uint8_t *block = npy->block;
    while (n > 0) {
        size_t part = n < BLOCK_VALUES ? n : BLOCK_VALUES;
        int rv =
            read_exactly(&npy->base, npy->block, part * npy->value_bytes, err);
        if (rv != 0) {
            return rv;
        }
        if (npy->value_bytes == 2) {
            for (size_t i = 0; i < part; i++) {
                values[i] = half_to_float(get_u16(block + 2 * i));
            }
        } else {
            for (size_t i = 0; i < part; i++) {
                values[i] = (float)get_f64(block + 8 * i);
            }
        }
        values += part;
        n -= part;
    }
    return 0;
}

static int npy_read(struct source *source, float *values, size_t max_rows,
                    size_t *n_rows, struct nb_errctx *err)
{
    struct npy_source *npy = npy_of(source);
    size_t rows = max_rows;
    if (rows > npy->rows_left) {
        rows = (size_t)npy->rows_left;
    }
    /* The caller has room for them, so this does not overflow. */
    size_t n = rows * source->dim;
    int rv = npy->block == NULL
                 ? read_exactly(source, values, n * sizeof(float), err)
                 : read_converted(npy, values, n, err);
    if (rv != 0) {
        return rv;
    }
    npy->rows_left -= rows;
    *n_rows = rows;
    return 0;
}

static int npy_rewind(struct source *source, struct nb_errctx *err)
{
    struct npy_source *npy = npy_of(source);
    npy->rows_left = source->n_rows;
    return source_seek(source, npy->data_offset, err);
}

static void npy_fini(struct source *source)
{
    free(npy_of(source)->block);
}

const struct source_format source_npy = {
    .name = "npy",
    .struct_bytes = sizeof(struct npy_source),
    .probe = npy_probe,
    .init = npy_init,
    .read = npy_read,
    .rewind = npy_rewind,
    .fini = npy_fini,
};
