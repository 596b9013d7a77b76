/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The minimal perfect hash of keyed tables, step by step: storage/FORMAT.md,
 * "Key index", in C. Who builds an index and who asks it share these. */
#ifndef NB_QUANT_KEY_PROBE_H
#define NB_QUANT_KEY_PROBE_H

#include <stdint.h>

#include "quant/nibble.h"

#define KEY_PILOTS 256u

/* The upper half of a product: x is a fraction of 2^64, the result below n. */
static inline uint64_t key_scale64(uint64_t x, uint64_t n)
{
    return (uint64_t)((unsigned __int128)x * n >> 64);
}

/* One hash a key: different keys have different ones. */
static inline uint64_t key_hash(uint64_t key, uint64_t seed)
{
    uint64_t h = key ^ seed;
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

static inline uint64_t key_part_of(uint64_t hash, uint64_t n_parts)
{
    return key_scale64(hash, n_parts);
}

/* Of the part's buckets: by the lower half of the hash, as the part is by the
 * upper bits. */
static inline uint32_t key_bucket_of(uint64_t hash, uint32_t n_buckets)
{
    return (uint32_t)((hash & UINT32_MAX) * n_buckets >> 32);
}

/* Of the part's rows; below n_rows unless that is 0. */
static inline uint32_t key_slot_of(uint64_t hash, uint32_t seed, uint32_t pilot,
                                   uint32_t n_rows)
{
    uint64_t salt =
        (uint64_t)(seed * KEY_PILOTS + pilot) * UINT64_C(0xbf58476d1ce4e5b9);
    uint64_t x = (hash ^ salt) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)((x >> 32) * n_rows >> 32);
}

/* A key on its way to a row. */
struct key_probe {
    uint64_t hash;
    const struct nb_key_part *part;
    const uint8_t *pilot;
};

static inline struct key_probe key_probe(const struct nb_keys *keys,
                                         uint64_t key)
{
    uint64_t hash = key_hash(key, keys->seed);
    uint64_t part = key_part_of(hash, keys->n_parts);
    return (struct key_probe){
        .hash = hash,
        .part = &keys->parts[part],
        .pilot = &keys->pilots[part * keys->n_buckets +
                               key_bucket_of(hash, keys->n_buckets)],
    };
}

/* The row that has the key if any has; not for a part without rows. */
static inline uint64_t key_probe_row(const struct key_probe *probe)
{
    const struct nb_key_part *part = probe->part;
    return part->first_row +
           key_slot_of(probe->hash, part->seed, *probe->pilot, part->n_rows);
}

#endif
