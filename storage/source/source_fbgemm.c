/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows fused by FBGEMM: codes of 4 or 8 bits, the first column lowest, and the
 * row's scale and bias, after them (CPU operators) or before (inference tables
 * of TBE). Given as an .npy array of bytes, a row each, or as the bytes alone
 * with the option `dim`. A value is fma(scale, code, bias).
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "quant/bytes.h"
#include "quant/half.h"
#include "storage/source/npy_reader.h"
#include "storage/source/source_format.h"

#define BLOCK_BYTES   ((size_t)64 * 1024) /* read at once, at least a row */
#define TBE_ROW_ALIGN 16u                 /* of rows on GPUs */
#define ROW_BYTES_MAX (NB_DIM_MAX + TBE_ROW_ALIGN)

struct fused_layout {
    unsigned bits;      /* of a code: 4 or 8 */
    size_t param_bytes; /* of scale, and of bias: 2 or 4 */
    bool params_first;
};

struct fused_source {
    struct source base;
    const struct fused_layout *layout;
    uint64_t data_offset;
    uint64_t rows_left;
    size_t row_bytes; /* padding included */
    uint8_t *block;
    size_t block_rows;
};

static struct fused_source *fused_of(struct source *source)
{
    return (struct fused_source *)source;
}

static uint64_t code_bytes(const struct fused_layout *layout, uint64_t dim)
{
    return layout->bits == 4 ? dim / 2 + dim % 2 : dim;
}

static uint64_t packed_bytes(const struct fused_layout *layout, uint64_t dim)
{
    return code_bytes(layout, dim) + 2 * layout->param_bytes;
}

/* ---- shape --------------------------------------------------------------- */

/* The dim of rows of row_bytes bytes, or whether that asked for fits. */
static int find_dim(struct fused_source *fused, uint64_t row_bytes,
                    struct nb_errctx *err)
{
    struct source *source = &fused->base;
    const struct fused_layout *layout = fused->layout;
    uint64_t params = 2 * layout->param_bytes;
    if (row_bytes <= params || row_bytes > ROW_BYTES_MAX) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: rows of %" PRIu64 " bytes are not %s rows",
                       source->path, row_bytes, source->format->name);
    }
    uint64_t dim = source->options->dim;
    if (dim == 0) {
        dim = (row_bytes - params) * 8 / layout->bits;
    }
    uint64_t packed = packed_bytes(layout, dim);
    uint64_t padded =
        (packed + TBE_ROW_ALIGN - 1) & ~(uint64_t)(TBE_ROW_ALIGN - 1);
    if (dim > NB_DIM_MAX) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: %" PRIu64 " values a row; a table has 1 to %u",
                       source->path, dim, NB_DIM_MAX);
    }
    if (row_bytes != packed && !(layout->params_first && row_bytes == padded)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: %s rows of %" PRIu64 " values are %" PRIu64
                       " bytes, these are %" PRIu64,
                       source->path, source->format->name, dim, packed,
                       row_bytes);
    }
    source->dim = (uint32_t)dim;
    fused->row_bytes = (size_t)row_bytes;
    return 0;
}

static int shape_from_header(struct fused_source *fused, struct nb_errctx *err)
{
    struct source *source = &fused->base;
    struct npy_header header;
    const char *name = source->path;
    int rv = npy_read_header(source, source_read_exactly, name, &header, err);
    if (rv == 0) {
        rv = npy_as_byte_rows(&header, name, err);
    }
    if (rv == 0) {
        rv = npy_check_extent(&header, name, 1, source->file_bytes, err);
    }
    if (rv != 0) {
        return rv;
    }
    source->n_rows = header.axes[0];
    return find_dim(fused, header.axes[1], err);
}

static int shape_from_size(struct fused_source *fused, struct nb_errctx *err)
{
    struct source *source = &fused->base;
    uint64_t dim = source->options->dim;
    if (dim == 0) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: is no .npy file, and bytes alone do not tell how "
                       "many values make a row: dim must be given",
                       source->path);
    }
    uint64_t row_bytes = packed_bytes(fused->layout, dim);
    if (source->file_bytes % row_bytes != 0) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: %" PRIu64 " bytes are not whole %s rows of %" PRIu64
                       " values, %" PRIu64 " bytes each",
                       source->path, source->file_bytes, source->format->name,
                       dim, row_bytes);
    }
    source->n_rows = source->file_bytes / row_bytes;
    return find_dim(fused, row_bytes, err);
}

static int fused_init(struct source *source, const struct fused_layout *layout,
                      struct nb_errctx *err)
{
    struct fused_source *fused = fused_of(source);
    fused->layout = layout;
    uint8_t head[NPY_MAGIC_BYTES];
    size_t got;
    int rv = source_read_bytes(source, head, sizeof(head), &got, err);
    if (rv == 0) {
        rv = source_seek(source, 0, err);
    }
    if (rv == 0) {
        rv = npy_has_magic(head, got) ? shape_from_header(fused, err)
                                      : shape_from_size(fused, err);
    }
    if (rv != 0) {
        return rv;
    }
    fused->data_offset = source->bytes_read;
    fused->rows_left = source->n_rows;
    fused->block_rows =
        fused->row_bytes < BLOCK_BYTES ? BLOCK_BYTES / fused->row_bytes : 1;
    fused->block = malloc(fused->block_rows * fused->row_bytes);
    if (fused->block == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", source->path);
    }
    return 0;
}

/* ---- rows ---------------------------------------------------------------- */

static float param(const struct fused_layout *layout, const uint8_t *at)
{
    return layout->param_bytes == 2 ? half_to_float(get_u16(at)) : get_f32(at);
}

static void decode_row(const struct fused_source *fused, const uint8_t *row,
                       float *values)
{
    const struct fused_layout *layout = fused->layout;
    uint32_t dim = fused->base.dim;
    const uint8_t *codes =
        layout->params_first ? row + 2 * layout->param_bytes : row;
    const uint8_t *params =
        layout->params_first ? row : row + code_bytes(layout, dim);
    float scale = param(layout, params);
    float bias = param(layout, params + layout->param_bytes);
    for (uint32_t i = 0; i < dim; i++) {
        unsigned code = layout->bits == 8
                            ? codes[i]
                            : (unsigned)codes[i / 2] >> 4 * (i % 2) & 15u;
        values[i] = fmaf(scale, (float)code, bias);
    }
}

static int fused_read(struct source *source, float *values, size_t max_rows,
                      size_t *n_rows, struct nb_errctx *err)
{
    struct fused_source *fused = fused_of(source);
    size_t rows =
        max_rows < fused->rows_left ? max_rows : (size_t)fused->rows_left;
    for (size_t done = 0; done < rows;) {
        size_t part =
            rows - done < fused->block_rows ? rows - done : fused->block_rows;
        int rv = source_read_exactly(source, fused->block,
                                     part * fused->row_bytes, err);
        if (rv != 0) {
            return rv;
        }
        for (size_t i = 0; i < part; i++) {
            decode_row(fused, fused->block + i * fused->row_bytes,
                       values + (done + i) * source->dim);
        }
        done += part;
    }
    fused->rows_left -= rows;
    *n_rows = rows;
    return 0;
}

static int fused_rewind(struct source *source, struct nb_errctx *err)
{
    struct fused_source *fused = fused_of(source);
    fused->rows_left = source->n_rows;
    return source_seek(source, fused->data_offset, err);
}

static void fused_fini(struct source *source)
{
    free(fused_of(source)->block);
}

/* ---- the layouts --------------------------------------------------------- */

#define FUSED_FORMAT(tag, called, n_bits, n_param_bytes, first)                \
    static int tag##_init(struct source *source, struct nb_errctx *err)        \
    {                                                                          \
        static const struct fused_layout layout = {.bits = (n_bits),           \
                                                   .param_bytes =              \
                                                       (n_param_bytes),        \
                                                   .params_first = (first)};   \
        return fused_init(source, &layout, err);                               \
    }                                                                          \
    const struct source_format source_##tag = {                                \
        .name = (called),                                                      \
        .struct_bytes = sizeof(struct fused_source),                           \
        .init = tag##_init,                                                    \
        .read = fused_read,                                                    \
        .rewind = fused_rewind,                                                \
        .fini = fused_fini,                                                    \
    };

FUSED_FORMAT(fbgemm, "fbgemm", 4, 2, false)
FUSED_FORMAT(fbgemm_tbe, "fbgemm-tbe", 4, 2, true)
FUSED_FORMAT(fbgemm8, "fbgemm8", 8, 4, false)
FUSED_FORMAT(fbgemm8_half, "fbgemm8-half", 8, 2, false)
FUSED_FORMAT(fbgemm8_tbe, "fbgemm8-tbe", 8, 2, true)
