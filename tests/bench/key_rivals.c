/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/bench/key_rivals.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "quant/bytes.h"
#include "quant/key_probe.h"
#include "tests/bench/disk_table.h"

#define BUCKET_ROWS 8u
#define SLOT_WORDS  2u
#define LINE        64u
#define NEAR        24u /* keys whose row is on its way */
#define FAR         48u /* keys whose place is */

const char *key_rival_name(enum key_rival kind)
{
    static const char *const names[] = {
        [RIVAL_DIRECTORY] = "directory", [RIVAL_HASH_TABLE] = "hash table"};
    return names[kind];
}

/* All zeros, on 2 MiB pages where there are any: an index is kept in memory. */
static void *take(size_t bytes, bool huge)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(at, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return at;
}

static uint64_t place_of(const struct key_rival_table *rival, uint64_t key)
{
    return key_scale64(key_hash(key, 0), rival->n_places);
}

/* ---- directory ------------------------------------------------------- */

static void fill_directory(struct key_rival_table *rival)
{
    uint32_t *starts = rival->starts;
    uint64_t n = rival->n_places;
    for (uint64_t i = 0; i < rival->n_rows; i++) {
        starts[place_of(rival, disk_table_key(i)) + 1]++;
    }
    for (uint64_t i = 0; i < n; i++) {
        starts[i + 1] += starts[i];
    }
    for (uint64_t i = 0; i < rival->n_rows; i++) {
        uint64_t key = disk_table_key(i);
        uint32_t row = starts[place_of(rival, key)]++;
        memset(rival->rows + row * rival->stride, (int)i, rival->row_bytes);
        put_u64(rival->rows + row * rival->stride + rival->row_bytes, key);
    }
    memmove(starts + 1, starts, n * sizeof(*starts));
    starts[0] = 0;
}

static void reach_bucket(const struct key_rival_table *rival, uint64_t key)
{
    uint64_t place = place_of(rival, key);
    const uint8_t *end = rival->rows + rival->starts[place + 1] * rival->stride;
    for (const uint8_t *at = rival->rows + rival->starts[place] * rival->stride;
         at < end; at += LINE) {
        __builtin_prefetch(at);
    }
}

static const uint8_t *find_in_bucket(const struct key_rival_table *rival,
                                     uint64_t key)
{
    uint64_t place = place_of(rival, key);
    for (uint32_t i = rival->starts[place]; i < rival->starts[place + 1]; i++) {
        const uint8_t *row = rival->rows + i * rival->stride;
        if (get_u64(row + rival->row_bytes) == key) {
            return row;
        }
    }
    return NULL;
}

static size_t ask_directory(const struct key_rival_table *rival,
                            const uint64_t *keys, size_t n, uint8_t *out)
{
    size_t unseen = 0;
    for (size_t i = 0; i < n; i++) {
        if (i + FAR < n) {
            __builtin_prefetch(&rival->starts[place_of(rival, keys[i + FAR])]);
        }
        if (i + NEAR < n) {
            reach_bucket(rival, keys[i + NEAR]);
        }
        const uint8_t *row = find_in_bucket(rival, keys[i]);
        if (row != NULL) {
            memcpy(out + i * rival->row_bytes, row, rival->row_bytes);
        } else {
            unseen++;
        }
    }
    return unseen;
}

/* ---- hash table ------------------------------------------------------ */

static void fill_hash_table(struct key_rival_table *rival)
{
    for (uint64_t i = 0; i < rival->n_rows; i++) {
        uint64_t key = disk_table_key(i);
        uint64_t place = place_of(rival, key);
        while (rival->index[place * SLOT_WORDS + 1] != 0) {
            place = place + 1 < rival->n_places ? place + 1 : 0;
        }
        rival->index[place * SLOT_WORDS] = key;
        rival->index[place * SLOT_WORDS + 1] = i + 1;
        memset(rival->rows + i * rival->stride, (int)i, rival->row_bytes);
    }
}

static const uint8_t *find_by_slot(const struct key_rival_table *rival,
                                   uint64_t key)
{
    const uint64_t *index = rival->index;
    uint64_t place = place_of(rival, key);
    while (index[place * SLOT_WORDS + 1] != 0) {
        if (index[place * SLOT_WORDS] == key) {
            return rival->rows +
                   (index[place * SLOT_WORDS + 1] - 1) * rival->stride;
        }
        place = place + 1 < rival->n_places ? place + 1 : 0;
    }
    return NULL;
}

static size_t ask_hash_table(const struct key_rival_table *rival,
                             const uint64_t *keys, size_t n, uint8_t *out)
{
    const uint8_t *rows[NEAR];
    size_t unseen = 0;
    for (size_t i = 0; i < n + NEAR; i++) {
        if (i + NEAR < n) {
            __builtin_prefetch(
                &rival->index[place_of(rival, keys[i + NEAR]) * SLOT_WORDS]);
        }
        if (i >= NEAR) {
            const uint8_t *row = rows[i % NEAR];
            size_t at = (i - NEAR) * rival->row_bytes;
            if (row != NULL) {
                memcpy(out + at, row, rival->row_bytes);
            } else {
                unseen++;
            }
        }
        if (i < n) {
            const uint8_t *row = find_by_slot(rival, keys[i]);
            rows[i % NEAR] = row;
            if (row != NULL) {
                __builtin_prefetch(row);
                __builtin_prefetch(row + rival->row_bytes - 1);
            }
        }
    }
    return unseen;
}

/* ---- both ------------------------------------------------------------ */

int key_rival_init(struct key_rival_table *rival, enum key_rival kind,
                   uint64_t n_rows, size_t row_bytes)
{
    bool directory = kind == RIVAL_DIRECTORY;
    *rival = (struct key_rival_table){
        .kind = kind,
        .n_rows = n_rows,
        .n_places = directory ? n_rows / BUCKET_ROWS + 1 : n_rows * 5 / 4 + 1,
        .row_bytes = row_bytes,
        .stride = row_bytes + (directory ? NB_KEY_BYTES : 0),
    };
    rival->index_bytes =
        directory ? (rival->n_places + 1) * sizeof(*rival->starts)
                  : rival->n_places * SLOT_WORDS * sizeof(*rival->index);
    void *index = take(rival->index_bytes, true);
    rival->rows = take(n_rows * rival->stride, false);
    rival->starts = directory ? index : NULL;
    rival->index = directory ? NULL : index;
    if (index == NULL || rival->rows == NULL) {
        key_rival_fini(rival);
        return -1;
    }
    if (directory) {
        fill_directory(rival);
    } else {
        fill_hash_table(rival);
    }
    return 0;
}

void key_rival_fini(struct key_rival_table *rival)
{
    void *index =
        rival->starts != NULL ? (void *)rival->starts : (void *)rival->index;
    if (index != NULL) {
        munmap(index, rival->index_bytes);
    }
    if (rival->rows != NULL) {
        munmap(rival->rows, rival->n_rows * rival->stride);
    }
}

size_t key_rival_lookup(const struct key_rival_table *rival,
                        const uint64_t *keys, size_t n, uint8_t *out)
{
    return rival->kind == RIVAL_DIRECTORY ? ask_directory(rival, keys, n, out)
                                          : ask_hash_table(rival, keys, n, out);
}
