/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Raw fp32: little-endian values and nothing else. The option `dim` says how
 * many make a row. */
#include <inttypes.h>

#include "storage/source/matrix_source.h"

static int raw_init(struct source *source, struct nb_errctx *err)
{
    const struct matrix_shape shape = {
        .dim = (uint32_t)source->options->dim, /* at most NB_DIM_MAX */
        .type = VALUE_F32,
        .n_rows =
            source->options->dim > 0
                ? source->file_bytes / sizeof(float) / source->options->dim
                : 0,
    };
    if (shape.dim == 0) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: raw values do not tell how many make a row: dim "
                       "must be given",
                       source->path);
    }
    uint64_t bytes;
    if (!matrix_bytes(&shape, &bytes) || bytes != source->file_bytes) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: %" PRIu64 " bytes are not whole rows of %" PRIu32
                       " fp32 values",
                       source->path, source->file_bytes, shape.dim);
    }
    return matrix_begin(source, &shape, source_read_exactly, err);
}

const struct source_format source_raw = {
    .name = "raw",
    .struct_bytes = sizeof(struct matrix_source),
    .init = raw_init,
    .read = matrix_read,
    .rewind = matrix_rewind,
    .fini = matrix_fini,
};
