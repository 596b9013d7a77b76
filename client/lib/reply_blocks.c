/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/reply_blocks.h"

#include <stdlib.h>

#include "proto/blocks.h"

static int reserve(struct reply_blocks *blocks, size_t n, struct nb_errctx *err)
{
    if (n <= blocks->capacity) {
        return 0;
    }
    struct nb_block *grown = realloc(blocks->blocks, n * sizeof(*grown));
    if (grown == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "reply of %zu blocks", n);
    }
    blocks->blocks = grown;
    blocks->capacity = n;
    return 0;
}

/* A codec this library does not know is the matter of nb_decode(). */
static int check_packed(const struct nb_format *format, uint32_t row_bytes,
                        size_t index, struct nb_errctx *err)
{
    size_t bytes;
    int rv = nb_row_bytes(format, &bytes);
    if (rv == NB_ERR_UNSUPPORTED) {
        return 0;
    }
    if (rv != 0 || bytes != row_bytes) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "reply: block %zu: rows of %u bytes are not of codec "
                       "%u, dim %u, scales %u",
                       index, row_bytes, format->codec, format->dim,
                       format->scales);
    }
    return 0;
}

/* blocks_next() has seen to it that the sizes agree among themselves; here they
 * must agree with the request. */
static int check_block(const struct block_view *block,
                       const struct nb_request *request, bool pool,
                       size_t index, struct nb_errctx *err)
{
    const struct nb_feature *feature = &request->features[index];
    size_t rows = pool ? feature->n_bags : feature->ids.n;
    const struct block_head *head = &block->head;
    if (head->rows != rows) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "reply: block %zu: %u rows, asked for %zu", index,
                       head->rows, rows);
    }
    if (head->dim == 0 || head->dim > NB_DIM_MAX) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "reply: block %zu: dim is %u, not 1 to %u", index,
                       head->dim, NB_DIM_MAX);
    }
    if (head->dtype != request->dtype) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "reply: block %zu: dtype is %u, asked for %u", index,
                       head->dtype, request->dtype);
    }
    if (block->unseen > feature->ids.n) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "reply: block %zu: %llu ids unseen of %zu", index,
                       (unsigned long long)block->unseen, feature->ids.n);
    }
    return 0;
}

static int take_block(struct nb_block *to, const struct block_view *block,
                      size_t index, struct nb_errctx *err)
{
    const struct block_head *head = &block->head;
    *to = (struct nb_block){
        .rows = head->rows,
        .dim = head->dim,
        .dtype = head->dtype,
        .row_bytes = head->row_bytes,
        .unseen = block->unseen,
        .values = block->values,
    };
    if (head->dtype != NB_PACKED) {
        return 0;
    }
    to->format = (struct nb_format){
        .codec = head->codec, .dim = head->dim, .scales = head->scales};
    to->params = head->params;
    return check_packed(&to->format, head->row_bytes, index, err);
}

int reply_blocks_read(struct reply_blocks *blocks, const void *body,
                      size_t body_bytes, const struct nb_request *request,
                      bool pool, struct nb_reply *reply, struct nb_errctx *err)
{
    struct blocks_reader reader;
    int rv = blocks_open(&reader, body, body_bytes, err);
    if (rv != 0) {
        return rv;
    }
    if (reader.n_blocks != request->n_features) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "reply: %zu blocks, asked for %zu features",
                       reader.n_blocks, request->n_features);
    }
    rv = reserve(blocks, reader.n_blocks, err);
    if (rv != 0) {
        return rv;
    }
    for (size_t i = 0; i < reader.n_blocks; i++) {
        struct block_view block;
        rv = blocks_next(&reader, &block, err);
        if (rv != 1) {
            return rv < 0 ? rv
                          : nb_fail(err, NB_ERR_MESSAGE,
                                    "reply: ends before block %zu", i);
        }
        rv = check_block(&block, request, pool, i, err);
        if (rv == 0) {
            rv = take_block(&blocks->blocks[i], &block, i, err);
        }
        if (rv != 0) {
            return rv;
        }
    }
    *reply = (struct nb_reply){.version = reader.version,
                               .blocks = blocks->blocks,
                               .n_blocks = reader.n_blocks};
    return 0;
}

void reply_blocks_fini(struct reply_blocks *blocks)
{
    free(blocks->blocks);
    *blocks = (struct reply_blocks){0};
}
