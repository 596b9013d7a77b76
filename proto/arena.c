/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/arena.h"

#include <assert.h>
#include <sys/mman.h>

#include "quant/checked.h"
#include "quant/nibble.h"

/* Pages kept between requests. Past it, refilling pages costs less than the
 * request that needed them. */
#define ARENA_KEEP ((size_t)8 << 20)

static void *allocator_alloc(void *data, size_t bytes)
{
    return arena_alloc(data, bytes);
}

static void allocator_free(void *data, void *memory)
{
    (void)data;
    (void)memory;
}

static void *reserve(size_t capacity)
{
    void *base = mmap(NULL, capacity, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return base != MAP_FAILED ? base : NULL;
}

int arena_init(struct arena *arena, size_t capacity)
{
    void *base = reserve(capacity);
    if (base == NULL) {
        return NB_ERR_NOMEM;
    }
    *arena = (struct arena){
        .base = base,
        .capacity = capacity,
        .allocator = {allocator_alloc, allocator_free, arena},
    };
    return 0;
}

int arena_resize(struct arena *arena, size_t capacity)
{
    assert(arena->used == 0);
    void *base = reserve(capacity);
    if (base == NULL) {
        return NB_ERR_NOMEM;
    }
    munmap(arena->base, arena->capacity);
    arena->base = base;
    arena->capacity = capacity;
    return 0;
}

void arena_fini(struct arena *arena)
{
    munmap(arena->base, arena->capacity);
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    uint64_t rounded;
    if (!checked_round_up(bytes, ARENA_ALIGNMENT, &rounded) ||
        rounded > arena->capacity - arena->used) {
        arena->refused = true;
        return NULL;
    }
    void *memory = arena->base + arena->used;
    arena->used += rounded;
    return memory;
}

void *arena_array(struct arena *arena, size_t n, size_t bytes)
{
    uint64_t total;
    if (!checked_mul(n, bytes, &total)) {
        arena->refused = true;
        return NULL;
    }
    return arena_alloc(arena, total);
}

void arena_reset(struct arena *arena)
{
    if (arena->used > ARENA_KEEP) {
        madvise(arena->base + ARENA_KEEP, arena->used - ARENA_KEEP,
                MADV_DONTNEED);
    }
    arena->used = 0;
    arena->refused = false;
}
