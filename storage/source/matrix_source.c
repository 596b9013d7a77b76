/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/matrix_source.h"

#include <stdlib.h>

#include "quant/bytes.h"
#include "quant/checked.h"
#include "quant/half.h"

#define BLOCK_VALUES 16384u /* converted at once where the type is not fp32 */

size_t value_bytes(enum value_type type)
{
    static const size_t bytes[] = {
        [VALUE_F16] = 2, [VALUE_BF16] = 2, [VALUE_F32] = 4, [VALUE_F64] = 8};
    return bytes[type];
}

bool matrix_bytes(const struct matrix_shape *shape, uint64_t *bytes)
{
    /* dim is at most 2^16 and a value 8 bytes: their product is small. */
    return checked_mul(shape->n_rows, shape->dim * value_bytes(shape->type),
                       bytes);
}

static struct matrix_source *matrix_of(struct source *source)
{
    return (struct matrix_source *)source;
}

int matrix_begin(struct source *source, const struct matrix_shape *shape,
                 source_exact_fn *read_exactly, struct nb_errctx *err)
{
    struct matrix_source *matrix = matrix_of(source);
    source->dim = shape->dim;
    source->n_rows = shape->n_rows;
    matrix->type = shape->type;
    matrix->data_offset = source->bytes_read;
    matrix->rows_left = shape->n_rows;
    matrix->read_exactly = read_exactly;
    if (shape->type != VALUE_F32) {
        matrix->block = malloc(BLOCK_VALUES * value_bytes(shape->type));
        if (matrix->block == NULL) {
            return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory",
                           source->path);
        }
    }
    return 0;
}

static void convert(const uint8_t *from, enum value_type type, size_t n,
                    float *values)
{
    switch (type) {
    case VALUE_F16:
        for (size_t i = 0; i < n; i++) {
            values[i] = half_to_float(get_u16(from + 2 * i));
        }
        break;
    case VALUE_BF16:
        for (size_t i = 0; i < n; i++) {
            values[i] = bf16_to_float(get_u16(from + 2 * i));
        }
        break;
    case VALUE_F32:
        memcpy(values, from, n * sizeof(float));
        break;
    case VALUE_F64:
        for (size_t i = 0; i < n; i++) {
            values[i] = (float)get_f64(from + 8 * i);
        }
        break;
    }
}

static int read_converted(struct matrix_source *matrix, float *values, size_t n,
                          struct nb_errctx *err)
{
    while (n > 0) {
        size_t part = n < BLOCK_VALUES ? n : BLOCK_VALUES;
        int rv = matrix->read_exactly(&matrix->base, matrix->block,
                                      part * value_bytes(matrix->type), err);
        if (rv != 0) {
            return rv;
        }
        convert(matrix->block, matrix->type, part, values);
        values += part;
        n -= part;
    }
    return 0;
}

int matrix_read(struct source *source, float *values, size_t max_rows,
                size_t *n_rows, struct nb_errctx *err)
{
    struct matrix_source *matrix = matrix_of(source);
    size_t rows = max_rows;
    if (rows > matrix->rows_left) {
        rows = (size_t)matrix->rows_left;
    }
    /* The caller has room for them, so this does not overflow. */
    size_t n = rows * source->dim;
    int rv = matrix->block == NULL
                 ? matrix->read_exactly(source, values, n * sizeof(float), err)
                 : read_converted(matrix, values, n, err);
    if (rv != 0) {
        return rv;
    }
    matrix->rows_left -= rows;
    *n_rows = rows;
    return 0;
}

int matrix_rewind(struct source *source, struct nb_errctx *err)
{
    struct matrix_source *matrix = matrix_of(source);
    matrix->rows_left = source->n_rows;
    return source_seek(source, matrix->data_offset, err);
}

void matrix_fini(struct source *source)
{
    free(matrix_of(source)->block);
}
