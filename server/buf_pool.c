/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/buf_pool.h"

#include <stdlib.h>

#define SMALLEST_SHIFT 12

void buf_pool_init(struct buf_pool *pool, size_t keep_bytes)
{
    *pool = (struct buf_pool){.keep_bytes = keep_bytes};
}

void buf_pool_fini(struct buf_pool *pool)
{
    for (size_t i = 0; i < BUF_POOL_CLASSES; i++) {
        while (pool->free[i] != NULL) {
            struct buf *buf = pool->free[i];
            pool->free[i] = buf->next;
            free(buf);
        }
    }
    pool->kept_bytes = 0;
}

static size_t class_bytes(uint32_t size_class)
{
    return (size_t)1 << (size_class + SMALLEST_SHIFT);
}

struct buf *buf_take(struct buf_pool *pool, size_t bytes)
{
    uint32_t size_class = 0;
    while (size_class < BUF_POOL_CLASSES &&
           class_bytes(size_class) - sizeof(struct buf) < bytes) {
        size_class++;
    }
    if (size_class == BUF_POOL_CLASSES) {
        return NULL;
    }
    struct buf *buf = pool->free[size_class];
    if (buf != NULL) {
        pool->free[size_class] = buf->next;
        pool->kept_bytes -= class_bytes(size_class);
    } else {
        buf = malloc(class_bytes(size_class));
        if (buf == NULL) {
            return NULL;
        }
    }
    *buf = (struct buf){
        .capacity = class_bytes(size_class) - sizeof(struct buf),
        .size_class = size_class,
    };
    return buf;
}

void buf_give(struct buf_pool *pool, struct buf *buf)
{
    if (buf == NULL) {
        return;
    }
    size_t bytes = class_bytes(buf->size_class);
    if (bytes > pool->keep_bytes - pool->kept_bytes) {
        free(buf);
        return;
    }
    pool->kept_bytes += bytes;
    buf->next = pool->free[buf->size_class];
    pool->free[buf->size_class] = buf;
}
