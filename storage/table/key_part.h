/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Builds the minimal perfect hash of one part of a table's keys. */
#ifndef NB_STORAGE_KEY_PART_H
#define NB_STORAGE_KEY_PART_H

#include <stddef.h>
#include <stdint.h>

#define KEY_PART_MEAN 2048u /* keys, if they spread evenly */
#define KEY_PART_MAX  4096u /* 45 deviations above */

/* Parts for n keys, n > 0, and the buckets of each: 2.75 keys a bucket. */
uint64_t key_part_count(uint64_t n);
uint32_t key_part_buckets(uint64_t n);

struct key_part_room; /* that a build works in */

struct key_part_room *key_part_room_create(void); /* NULL: no memory */
void key_part_room_destroy(struct key_part_room *room);

/* Two keys with the same hash. */
struct key_twins {
    uint32_t a, b;
};

/*
 * Finds the pilots for n <= KEY_PART_MAX hashes, and the seed they go with. The
 * same hashes in the same order give the same.
 * NB_ERR_INVALID: two hashes are the same; NB_ERR_NOT_FOUND: there are no such
 * pilots, which happens with keys that were chosen for it.
 */
int key_part_build(struct key_part_room *room, const uint64_t *hashes,
                   uint32_t n, uint32_t n_buckets, uint32_t *seed,
                   uint8_t *pilots, struct key_twins *twins);

#endif
