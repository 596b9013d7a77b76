/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * BlocksReply, the answer to Lookup and Pool, written and read in place: values
 * are decoded straight into the outgoing buffer and used where they arrived.
 *
 * Writing: sizes are known before a value is, so the order is blocks_bytes(),
 * a buffer of that size, blocks_begin(), then for each block blocks_add(), the
 * values into the gap it returns, and blocks_end(). The count of unseen ids,
 * which only the values' decoding tells, has room of a fixed width.
 */
#ifndef NB_PROTO_BLOCKS_H
#define NB_PROTO_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/wire.h"
#include "quant/nibble.h"

/* The fields of nibble.v1.Block but unseen and values. */
struct block_head {
    uint32_t rows;
    uint32_t dim;
    uint32_t dtype;     /* enum nb_dtype */
    uint32_t row_bytes; /* bytes from row to row of values */
    uint32_t codec;     /* NB_PACKED */
    uint32_t scales;    /* NB_PACKED */
    uint64_t params;    /* NB_PACKED */
};

/* Exact size of the encoded reply. NB_ERR_TOO_LARGE: over max_bytes. */
int blocks_bytes(const struct block_head *heads, size_t n_blocks,
                 uint64_t version, uint64_t max_bytes, uint64_t *bytes);

struct blocks_writer {
    uint8_t *at;
    uint8_t *unseen; /* of the block last added */
};

/* `buffer` has the size that blocks_bytes() told and is borrowed throughout. */
void blocks_begin(struct blocks_writer *writer, void *buffer, uint64_t version);

/* Adds a block; returns the gap for its rows * row_bytes bytes of values, at
 * any alignment. The same heads must have been counted, in the same order. */
void *blocks_add(struct blocks_writer *writer, const struct block_head *head);

/* Tells the block last added how many of its ids were unseen. */
void blocks_end(struct blocks_writer *writer, uint32_t unseen);

/* A block of a received reply. */
struct block_view {
    struct block_head head;
    uint64_t unseen;
    const uint8_t *values; /* in the body; rows * row_bytes bytes */
};

struct blocks_reader {
    uint64_t version;
    size_t n_blocks;
    size_t next;      /* index of the block read next */
    struct wire wire; /* what is still to be read */
};

/* Reads version and count and checks the outer message. `body` is borrowed
 * until the last block_view is done with. NB_ERR_MESSAGE. */
int blocks_open(struct blocks_reader *reader, const void *body, size_t bytes,
                struct nb_errctx *err);

/* The next block. 1: there was one; 0: the end; NB_ERR_MESSAGE: malformed, of
 * an unknown dtype, or its sizes do not agree; *err names block and field. Of
 * a packed block, whether codec and scales are known is the caller's matter. */
int blocks_next(struct blocks_reader *reader, struct block_view *block,
                struct nb_errctx *err);

#endif
