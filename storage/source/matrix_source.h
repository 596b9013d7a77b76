/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What the formats share whose rows are plain values: little-endian floats of
 * one type, row after row. */
#ifndef NB_STORAGE_MATRIX_SOURCE_H
#define NB_STORAGE_MATRIX_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "storage/source/source_format.h"

enum value_type {
    VALUE_F16,
    VALUE_BF16,
    VALUE_F32,
    VALUE_F64
};

size_t value_bytes(enum value_type type);

struct matrix_shape {
    uint64_t n_rows;
    uint32_t dim; /* 1..NB_DIM_MAX */
    enum value_type type;
};

/* False if the size of the matrix is beyond 2^64 bytes. */
bool matrix_bytes(const struct matrix_shape *shape, uint64_t *bytes);

/* First member of the struct of such a format; its source is first in it. */
struct matrix_source {
    struct source base;
    enum value_type type;
    uint64_t data_offset; /* of row 0, for matrix_rewind() */
    uint64_t rows_left;
    source_exact_fn *read_exactly; /* the file's bytes, or what they become */
    uint8_t *block;                /* values to convert; NULL for fp32 */
};

/* To be called by init once the next byte to be read is that of row 0. */
int matrix_begin(struct source *source, const struct matrix_shape *shape,
                 source_exact_fn *read_exactly, struct nb_errctx *err);

/* Of struct source_format. */
int matrix_read(struct source *source, float *values, size_t max_rows,
                size_t *n_rows, struct nb_errctx *err);
int matrix_rewind(struct source *source, struct nb_errctx *err);
void matrix_fini(struct source *source);

#endif
