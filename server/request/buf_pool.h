/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Byte buffers of one loop, in sizes of powers of two, kept for reuse: in
 * steady state a request allocates nothing. One thread; the budget is shared
 * by the pools of all threads. */
#ifndef NB_SERVER_BUF_POOL_H
#define NB_SERVER_BUF_POOL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define BUF_POOL_CLASSES 24 /* 4 KiB to 32 GiB */

struct buf {
    struct buf *next; /* of the list it is in */
    size_t capacity;  /* of data */
    size_t start;     /* the bytes in use: start <= end <= capacity */
    size_t end;
    uint32_t n_replies; /* outq: replies that lie here */
    uint32_t size_class;
    uint8_t data[];
};

/*
 * Bytes of all buffers, in use or kept. A buffer is given only if it is no more
 * than half of what is left: so those who hold large ones, however many they
 * are, leave room for others with smaller ones. `used` may be over `max` for a
 * moment, by what is then refused.
 */
struct buf_budget {
    uint64_t max;
    _Atomic uint64_t used;
};

struct buf_pool {
    struct buf_budget *budget;
    struct buf *free[BUF_POOL_CLASSES];
    size_t kept_bytes; /* in free */
    size_t keep_bytes; /* at most */
};

void buf_pool_init(struct buf_pool *pool, struct buf_budget *budget,
                   size_t keep_bytes);
void buf_pool_fini(struct buf_pool *pool);

/* An empty buffer for at least `bytes` bytes; NULL: out of memory, or of the
 * budget. The caller owns it until buf_give(). */
struct buf *buf_take(struct buf_pool *pool, size_t bytes);
void buf_give(struct buf_pool *pool, struct buf *buf); /* NULL is allowed */

#endif
