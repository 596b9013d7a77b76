/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/reply_blocks.h"

#include <stdlib.h>
#include <string.h>

#include "proto/blocks.h"

/* Longer ones are not worth keeping: no server of ours sends them. */
#define OUTLINE_MAX (64u << 10)

/* Grows *array to n elements; false: it is as it was. */
static bool grow(void **array, size_t n, size_t bytes)
{
    void *grown = realloc(*array, n * bytes);
    if (grown != NULL) {
        *array = grown;
    }
    return grown != NULL;
}

static int reserve(struct reply_blocks *blocks, size_t n, struct nb_errctx *err)
{
    void *given = blocks->blocks;
    void *known = blocks->known;
    void *gaps = blocks->gaps;
    if (n <= blocks->capacity) {
        return 0;
    }
    bool grown = grow(&given, n, sizeof(*blocks->blocks)) &&
                 grow(&known, n, sizeof(*blocks->known)) &&
                 grow(&gaps, n, sizeof(*blocks->gaps));
    blocks->blocks = given;
    blocks->known = known;
    blocks->gaps = gaps;
    if (!grown) {
        return nb_fail(err, NB_ERR_NOMEM, "reply of %zu blocks", n);
    }
    blocks->capacity = n;
    return 0;
}

/* ---- a reply and its request ------------------------------------------ */

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

static int fail_count(size_t n_blocks, const struct nb_request *request,
                      struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_MESSAGE,
                   "reply: %zu blocks, asked for %zu features", n_blocks,
                   request->n_features);
}

/* blocks_next() has seen to it that the sizes agree among themselves; here they
 * must agree with the request. */
static int check_block(const struct nb_block *block,
                       const struct nb_request *request, bool pool,
                       size_t index, struct nb_errctx *err)
{
    const struct nb_feature *feature = &request->features[index];
    size_t rows = pool ? feature->n_bags : feature->ids.n;
    if (block->rows != rows) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "reply: block %zu: %u rows, asked for %zu", index,
                       block->rows, rows);
    }
    if (block->dim == 0 || block->dim > NB_DIM_MAX) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "reply: block %zu: dim is %u, not 1 to %u", index,
                       block->dim, NB_DIM_MAX);
    }
    if (block->dtype != request->dtype) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "reply: block %zu: dtype is %u, asked for %u", index,
                       block->dtype, request->dtype);
    }
    if (block->unseen > feature->ids.n) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "reply: block %zu: %llu ids unseen of %zu", index,
                       (unsigned long long)block->unseen, feature->ids.n);
    }
    return 0;
}

static void take_block(struct nb_block *to, const struct block_view *block)
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
    if (head->dtype == NB_PACKED) {
        to->format = (struct nb_format){
            .codec = head->codec, .dim = head->dim, .scales = head->scales};
        to->params = head->params;
    }
}

/* ---- a reply like the last -------------------------------------------- */

static size_t values_bytes(const struct nb_block *block)
{
    return (size_t)block->rows * block->row_bytes;
}

/* Keeps what stands around the values; without memory for it, nothing. */
static void remember(struct reply_blocks *blocks, const uint8_t *body,
                     size_t body_bytes)
{
    size_t bytes = body_bytes;
    for (size_t i = 0; i < blocks->n_blocks; i++) {
        bytes -= values_bytes(&blocks->known[i]);
    }
    if (bytes == 0 || bytes > OUTLINE_MAX) {
        return;
    }
    if (bytes > blocks->outline_capacity) {
        uint8_t *grown = realloc(blocks->outline, bytes);
        if (grown == NULL) {
            return;
        }
        blocks->outline = grown;
        blocks->outline_capacity = bytes;
    }
    uint8_t *to = blocks->outline;
    const uint8_t *from = body;
    for (size_t i = 0; i < blocks->n_blocks; i++) {
        const uint8_t *values = blocks->known[i].values;
        blocks->gaps[i] = (size_t)(values - from);
        memcpy(to, from, blocks->gaps[i]);
        to += blocks->gaps[i];
        from = values + values_bytes(&blocks->known[i]);
    }
    memcpy(to, from, (size_t)(body + body_bytes - from));
    blocks->body_bytes = body_bytes;
}

/* If nothing but values differs, points the blocks at these. */
static bool is_like_last(struct reply_blocks *blocks, const uint8_t *body,
                         size_t body_bytes)
{
    if (body_bytes != blocks->body_bytes || body_bytes == 0) {
        return false;
    }
    const uint8_t *seen = blocks->outline;
    const uint8_t *at = body;
    for (size_t i = 0; i < blocks->n_blocks; i++) {
        size_t gap = blocks->gaps[i];
        if (memcmp(at, seen, gap) != 0) {
            return false;
        }
        seen += gap;
        at += gap;
        blocks->known[i].values = at;
        at += values_bytes(&blocks->known[i]);
    }
    return memcmp(at, seen, (size_t)(body + body_bytes - at)) == 0;
}

/* ---- a reply ---------------------------------------------------------- */

static int parse(struct reply_blocks *blocks, const void *body,
                 size_t body_bytes, const struct nb_request *request, bool pool,
                 struct nb_errctx *err)
{
    struct blocks_reader reader;
    blocks->body_bytes = 0;
    int rv = blocks_open(&reader, body, body_bytes, err);
    if (rv != 0) {
        return rv;
    }
    if (reader.n_blocks != request->n_features) {
        return fail_count(reader.n_blocks, request, err);
    }
    rv = reserve(blocks, reader.n_blocks, err);
    for (size_t i = 0; rv == 0 && i < reader.n_blocks; i++) {
        struct block_view view;
        struct nb_block *block = &blocks->known[i];
        rv = blocks_next(&reader, &view, err);
        if (rv != 1) {
            return rv < 0 ? rv
                          : nb_fail(err, NB_ERR_MESSAGE,
                                    "reply: ends before block %zu", i);
        }
        take_block(block, &view);
        rv = check_block(block, request, pool, i, err);
        if (rv == 0 && block->dtype == NB_PACKED) {
            rv = check_packed(&block->format, block->row_bytes, i, err);
        }
    }
    if (rv == 0) {
        blocks->n_blocks = reader.n_blocks;
        blocks->version = reader.version;
        remember(blocks, body, body_bytes);
    }
    return rv;
}

/* What the last request was is not kept: this one is asked anew. */
static int check_known(const struct reply_blocks *blocks,
                       const struct nb_request *request, bool pool,
                       struct nb_errctx *err)
{
    if (blocks->n_blocks != request->n_features) {
        return fail_count(blocks->n_blocks, request, err);
    }
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < blocks->n_blocks; i++) {
        rv = check_block(&blocks->known[i], request, pool, i, err);
    }
    return rv;
}

int reply_blocks_read(struct reply_blocks *blocks, const void *body,
                      size_t body_bytes, const struct nb_request *request,
                      bool pool, struct nb_reply *reply, struct nb_errctx *err)
{
    int rv = is_like_last(blocks, body, body_bytes)
                 ? check_known(blocks, request, pool, err)
                 : parse(blocks, body, body_bytes, request, pool, err);
    if (rv == 0) {
        for (size_t i = 0; i < blocks->n_blocks; i++) {
            blocks->blocks[i] = blocks->known[i];
        }
        *reply = (struct nb_reply){.version = blocks->version,
                                   .blocks = blocks->blocks,
                                   .n_blocks = blocks->n_blocks};
    }
    return rv;
}

void reply_blocks_fini(struct reply_blocks *blocks)
{
    free(blocks->blocks);
    free(blocks->known);
    free(blocks->gaps);
    free(blocks->outline);
    *blocks = (struct reply_blocks){0};
}
