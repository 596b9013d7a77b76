/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/buf_pool.h"

#include <stdbool.h>
#include <stdlib.h>

#define SMALLEST_SHIFT 12

static size_t class_bytes(uint32_t size_class)
{
    return (size_t)1 << (size_class + SMALLEST_SHIFT);
}

void buf_pool_init(struct buf_pool *pool, struct buf_budget *budget,
                   size_t keep_bytes)
{
    *pool = (struct buf_pool){.budget = budget, .keep_bytes = keep_bytes};
}

static bool spend(struct buf_budget *budget, size_t bytes)
{
    uint64_t used =
        atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
    if (used < budget->max && bytes <= (budget->max - used) / 2) {
        return true;
    }
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    return false;
}

static void release(struct buf_pool *pool, struct buf *buf)
{
    size_t bytes = class_bytes(buf->size_class);
    free(buf);
    atomic_fetch_sub_explicit(&pool->budget->used, bytes, memory_order_relaxed);
}

static struct buf *take_kept(struct buf_pool *pool, uint32_t size_class)
{
    struct buf *buf = pool->free[size_class];
    if (buf != NULL) {
        pool->free[size_class] = buf->next;
        pool->kept_bytes -= class_bytes(size_class);
    }
    return buf;
}

void buf_pool_fini(struct buf_pool *pool)
{
    for (uint32_t i = 0; i < BUF_POOL_CLASSES; i++) {
        struct buf *buf;
        while ((buf = take_kept(pool, i)) != NULL) {
            release(pool, buf);
        }
    }
}

/* Memory kept in other sizes must not stand in the way. */
static bool spend_or_free(struct buf_pool *pool, size_t bytes)
{
    if (spend(pool->budget, bytes)) {
        return true;
    }
    if (pool->kept_bytes == 0) {
        return false;
    }
    buf_pool_fini(pool);
    return spend(pool->budget, bytes);
}

static struct buf *allocate(struct buf_pool *pool, size_t bytes)
{
    if (!spend_or_free(pool, bytes)) {
        return NULL;
    }
    struct buf *buf = malloc(bytes);
    if (buf == NULL) {
        atomic_fetch_sub_explicit(&pool->budget->used, bytes,
                                  memory_order_relaxed);
    }
    return buf;
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
    struct buf *buf = take_kept(pool, size_class);
    if (buf == NULL) {
        buf = allocate(pool, class_bytes(size_class));
    }
    if (buf != NULL) {
        *buf = (struct buf){
            .capacity = class_bytes(size_class) - sizeof(struct buf),
            .size_class = size_class,
        };
    }
    return buf;
}

void buf_give(struct buf_pool *pool, struct buf *buf)
{
    if (buf == NULL) {
        return;
    }
    size_t bytes = class_bytes(buf->size_class);
    if (bytes > pool->keep_bytes - pool->kept_bytes) {
        release(pool, buf);
        return;
    }
    pool->kept_bytes += bytes;
    buf->next = pool->free[buf->size_class];
    pool->free[buf->size_class] = buf;
}
