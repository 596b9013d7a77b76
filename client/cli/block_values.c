/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/block_values.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/half.h"
#include "storage/io/atomic_file.h"
#include "storage/source/npy_header.h"

static int decode_packed(const struct nb_block *block,
                         const struct nb_table_params *params, float *values,
                         struct nb_errctx *err)
{
    bool shared = block->params != 0;
    if (shared && (params == NULL || params->id != block->params)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "rows of parameters %016llx, which are not at hand",
                       (unsigned long long)block->params);
    }
    const struct nb_rows rows = {
        .format = block->format,
        .base = block->values,
        .n_rows = block->rows,
        .stride = block->row_bytes,
        .params = shared ? &params->params : NULL,
    };
    int rv = nb_decode(&rows, 0, block->rows, NB_FP32, values);
    if (rv != 0) {
        return nb_fail(err, rv, "cannot decode rows of codec %u: %s",
                       block->format.codec, nb_strerror(rv));
    }
    return 0;
}

int block_values_decode(const struct nb_block *block,
                        const struct nb_table_params *params, float **values,
                        struct nb_errctx *err)
{
    size_t n = (size_t)block->rows * block->dim; /* 2^32 x 2^16 at most */
    const uint8_t *from = block->values;
    float *made = calloc(n + 1, sizeof(*made));
    if (made == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "no memory for %u rows", block->rows);
    }
    if (block->dtype == NB_PACKED) {
        int rv = decode_packed(block, params, made, err);
        if (rv != 0) {
            free(made);
            return rv;
        }
    } else if (block->dtype == NB_FP32) {
        memcpy(made, from, n * sizeof(*made));
    } else {
        for (size_t i = 0; i < n; i++) {
            uint16_t half = get_u16(from + 2 * i);
            made[i] = block->dtype == NB_FP16 ? half_to_float(half)
                                              : bf16_to_float(half);
        }
    }
    *values = made;
    return 0;
}

static int write_matrix(const struct nb_block *block, const char *descr,
                        const void *values, size_t value_bytes,
                        const char *path, struct nb_errctx *err)
{
    uint8_t header[NPY_WRITTEN_BYTES];
    npy_header_write(descr, block->rows, block->dim, header);
    struct atomic_file *file;
    int rv = atomic_file_create(path, &file, err);
    if (rv != 0) {
        return rv;
    }
    rv = atomic_file_write(file, header, sizeof(header), 0, err);
    if (rv == 0) {
        rv = atomic_file_write(file, values,
                               (size_t)block->rows * block->dim * value_bytes,
                               sizeof(header), err);
    }
    if (rv == 0) {
        rv = atomic_file_commit(file, err);
    }
    atomic_file_destroy(file);
    return rv;
}

int block_values_write_npy(const struct nb_block *block,
                           const struct nb_table_params *params,
                           const char *path, struct nb_errctx *err)
{
    if (block->dtype == NB_FP16) {
        return write_matrix(block, "<f2", block->values, 2, path, err);
    }
    float *values = NULL;
    int rv = block_values_decode(block, params, &values, err);
    if (rv == 0) {
        rv = write_matrix(block, "<f4", values, sizeof(*values), path, err);
        free(values);
    }
    return rv;
}
