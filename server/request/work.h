/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * What a Lookup or a Pool comes to: features resolved, a reply planned, and the
 * values in it to be computed. A large one is done a piece at a time, so that
 * its loop can look at other connections in between; the bytes are the same.
 * Long bags are parted too, but not one whose greatest values are asked of a
 * table with protected rows: quant/pooling.h.
 */
#ifndef NB_SERVER_WORK_H
#define NB_SERVER_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/blocks.h"
#include "server/request/call.h"
#include "server/request/feature.h"

#define WORK_PIECE_NS UINT64_C(200000) /* and the step begun by then */

struct work_pool;

/* In the arena: with features and then heads behind it, in one piece. */
struct work {
    struct table_set *tables; /* borrowed; work_set_aside(): a reference */
    struct feature *features;
    struct block_head *heads; /* of the blocks that answer them */
    size_t n_features;
    uint64_t reply_bytes; /* 0: not planned yet */
    uint32_t dtype;
    bool pools;    /* rather than looks up */
    bool is_small; /* done before its deadline could matter */
    bool in_turn;  /* large: to be done in pieces */
    struct blocks_writer writer;
    /* Where the next step begins; zeroed is the beginning. */
    struct {
        size_t feature;
        uint8_t *out; /* values of the feature go here; NULL: it is not begun */
        size_t id;    /* of a lookup */
        uint64_t unseen;        /* of those before it */
        struct work_pool *pool; /* in turn; NULL: it is not, or looks up */
        bool is_warm;           /* pages of the next step were just read */
    } at;
};

/* Room for features and heads, to be filled; the rest is zero. */
int work_create(struct call *call, size_t n_features, uint32_t dtype,
                struct work **work);

/* Bytes of that. */
size_t work_bytes(size_t n_features);

/* A copy of one that was begun, or is done: has it begin, where it is now. */
void work_rewind(struct work *work);

/* Reserves the reply and computes the first piece. 0: that was all; 1: there is
 * more, of call->work; -1: call_fail() says why not, or it is put off. */
int work_begin(struct call *call, struct table_set *tables, struct work *work);

/* Goes on for one piece: as work_begin(), but only call_fail(). With 1,
 * call->cold may be set, which the next piece needs to have been read. */
int work_continue(struct call *call);

/* The work outlives what happens now: holds its tables, until work_drop(). */
void work_set_aside(struct work *work);
void work_drop(struct work *work);

#endif
