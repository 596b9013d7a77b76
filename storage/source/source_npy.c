/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* NumPy .npy files: versions 1 to 3, little-endian floats in C order, two
 * axes. */
#include "storage/source/matrix_source.h"
#include "storage/source/npy_reader.h"

static int npy_init(struct source *source, struct nb_errctx *err)
{
    struct npy_header header;
    struct matrix_shape shape;
    const char *name = source->path;
    int rv = npy_read_header(source, source_read_exactly, name, &header, err);
    if (rv == 0) {
        rv = npy_as_matrix(&header, name, &shape, err);
    }
    if (rv == 0) {
        rv = npy_check_extent(&header, name, value_bytes(shape.type),
                              source->file_bytes, err);
    }
    return rv == 0 ? matrix_begin(source, &shape, source_read_exactly, err)
                   : rv;
}

const struct source_format source_npy = {
    .name = "npy",
    .struct_bytes = sizeof(struct matrix_source),
    .probe = npy_has_magic,
    .init = npy_init,
    .read = matrix_read,
    .rewind = matrix_rewind,
    .fini = matrix_fini,
};
