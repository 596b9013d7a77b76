/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Memory for one request: handed out by moving a pointer through one region,
 * taken back all at once. The region never grows, so a message cannot cost
 * more than its size. */
#ifndef NB_PROTO_ARENA_H
#define NB_PROTO_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#define ARENA_ALIGNMENT 16u

struct arena {
    uint8_t *base;
    size_t capacity;
    size_t used;
    bool refused; /* since the last reset, something did not fit */
    ProtobufCAllocator allocator; /* for protobuf-c; frees nothing */
};

/* Reserves address space; pages are taken from the system as they are first
 * used. The arena must not move. NB_ERR_NOMEM. */
int arena_init(struct arena *arena, size_t capacity);
/* Another capacity, while nothing is handed out. NB_ERR_NOMEM: it is as it
 * was. */
int arena_resize(struct arena *arena, size_t capacity);
void arena_fini(struct arena *arena);

/* Aligned to ARENA_ALIGNMENT, valid until arena_reset(); NULL if the region is
 * used up, which also holds for n * bytes that overflow. */
void *arena_alloc(struct arena *arena, size_t bytes);
void *arena_array(struct arena *arena, size_t n, size_t bytes);

/* Takes everything back. Of a region that had grown large, the pages beyond a
 * few MiB go back to the system. */
void arena_reset(struct arena *arena);

#endif
