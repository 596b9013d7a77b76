/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/reply_place.h"

#include <string.h>

#include "quant/checked.h"

static size_t rows_of(const struct nb_feature *feature, bool pool)
{
    return pool ? feature->n_bags : feature->ids.n;
}

int reply_place_check(const struct nb_request *request, bool pool,
                      const struct reply_target *target, struct nb_errctx *err)
{
    if (target->targets != NULL && target->matrix != NULL) {
        return nb_fail(err, NB_ERR_INVALID,
                       "options: both targets and a matrix");
    }
    for (size_t i = 1; target->matrix != NULL && i < request->n_features; i++) {
        size_t first = rows_of(&request->features[0], pool);
        size_t rows = rows_of(&request->features[i], pool);
        if (rows != first) {
            return nb_fail(err, NB_ERR_INVALID,
                           "feature %zu: %zu rows beside %zu in a matrix", i,
                           rows, first);
        }
    }
    return 0;
}

/* Of a value where it is placed. */
static uint32_t placed_dtype(const struct nb_block *block)
{
    return block->dtype == NB_PACKED ? NB_FP32 : block->dtype;
}

static size_t placed_row_bytes(const struct nb_block *block)
{
    return block->dim * nb_dtype_bytes(placed_dtype(block));
}

/* A row's bytes and, before those of this block, the bytes of the others. The
 * block before has been placed, and knows. Dims are NB_DIM_MAX at most and
 * blocks 2^20. */
static void matrix_columns(const struct nb_block *blocks, size_t n_blocks,
                           size_t index, const struct nb_target *matrix,
                           size_t *row_bytes, size_t *before)
{
    *row_bytes = *before = 0;
    if (index == 0) {
        for (size_t i = 0; i < n_blocks; i++) {
            *row_bytes += placed_row_bytes(&blocks[i]);
        }
        return;
    }
    const struct nb_block *last = &blocks[index - 1];
    const uint8_t *from = matrix->values;
    *row_bytes = last->row_bytes;
    *before =
        (size_t)((const uint8_t *)last->values - from) + placed_row_bytes(last);
}

static int decode_rows(const struct nb_block *block, uint8_t *to,
                       size_t row_bytes, const struct nb_params *params,
                       struct nb_errctx *err)
{
    const struct nb_rows rows = {
        .format = block->format,
        .base = block->values,
        .n_rows = block->rows,
        .stride = block->row_bytes,
        .params = params,
    };
    /* Rows that stand one behind another are decoded in one go. */
    size_t n = row_bytes == placed_row_bytes(block) ? block->rows : 1;
    for (size_t i = 0; i < block->rows; i += n) {
        int rv = nb_decode(&rows, i, n, NB_FP32, to + i * row_bytes);
        if (rv != 0) {
            return nb_fail(err, rv == NB_ERR_UNSUPPORTED ? rv : NB_ERR_MESSAGE,
                           "reply: cannot decode rows of codec %u: %s",
                           block->format.codec, nb_strerror(rv));
        }
    }
    return 0;
}

static int copy_rows(const struct nb_block *block, uint8_t *to,
                     size_t row_bytes)
{
    const uint8_t *from = block->values;
    size_t n = row_bytes == block->row_bytes ? block->rows : 1;
    for (size_t i = 0; i < block->rows; i += n) {
        memcpy(to + i * row_bytes, from + i * block->row_bytes,
               n * block->row_bytes);
    }
    return 0;
}

/* Where a block goes, and from row to row. */
static int find_place(const struct nb_block *blocks, size_t n_blocks,
                      size_t index, const struct reply_target *target,
                      uint8_t **to, size_t *row_bytes, struct nb_errctx *err)
{
    const struct nb_block *block = &blocks[index];
    size_t before = 0;
    const struct nb_target *memory = target->matrix;
    *row_bytes = placed_row_bytes(block);
    if (memory != NULL) {
        matrix_columns(blocks, n_blocks, index, memory, row_bytes, &before);
    } else {
        memory = &target->targets[index];
    }
    size_t room = memory->values != NULL ? memory->bytes : 0;
    uint64_t needed;
    if (*row_bytes > UINT32_MAX ||
        !checked_mul(block->rows, *row_bytes, &needed) || needed > room) {
        return nb_fail(err, NB_ERR_TOO_LARGE,
                       "feature %zu: %u rows of %zu bytes, the target has %zu "
                       "bytes",
                       index, block->rows, *row_bytes, room);
    }
    *to = memory->values;
    if (needed > 0) {
        *to += before;
    }
    return 0;
}

static void note_place(struct nb_block *block, uint8_t *to, size_t row_bytes)
{
    block->dtype = placed_dtype(block);
    block->row_bytes = (uint32_t)row_bytes;
    block->values = to;
}

int reply_place(struct nb_block *blocks, size_t n_blocks, size_t index,
                const struct reply_target *target,
                const struct nb_params *params, struct nb_errctx *err)
{
    struct nb_block *block = &blocks[index];
    uint8_t *to = NULL;
    size_t row_bytes = 0;
    int rv = find_place(blocks, n_blocks, index, target, &to, &row_bytes, err);
    if (rv == 0 && to != NULL) { /* NULL: no rows */
        rv = block->dtype == NB_PACKED
                 ? decode_rows(block, to, row_bytes, params, err)
                 : copy_rows(block, to, row_bytes);
    }
    if (rv == 0) {
        note_place(block, to, row_bytes);
    }
    return rv;
}

void reply_place_again(struct nb_block *blocks, size_t n_blocks, size_t index,
                       const struct reply_target *target)
{
    uint8_t *to = NULL;
    size_t row_bytes = 0;
    if (find_place(blocks, n_blocks, index, target, &to, &row_bytes, NULL) ==
        0) {
        note_place(&blocks[index], to, row_bytes);
    }
}
