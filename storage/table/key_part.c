/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Buckets are placed largest first: the first of 256 pilots that puts all of a
 * bucket's keys on free rows is taken. Late ones find none; they take the pilot
 * whose rows are held by the smallest buckets, and these are placed anew. With
 * all rows taken at the end that is a walk, short because a part is small: the
 * last key alone tries 256 of 2,048 rows a step.
 */
#include "storage/table/key_part.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "quant/key_probe.h"

#define BUCKET_MAX 48u /* keys; larger ones find no pilot within reason */
#define SEEDS_MAX  64u /* one in 10,000 parts takes a second */
#define NOBODY     UINT32_MAX

struct key_part_room {
    uint32_t first[KEY_PART_MAX + 2]; /* of each bucket, in `keys` */
    uint32_t keys[KEY_PART_MAX];      /* by bucket */
    uint32_t cursor[KEY_PART_MAX + 1];
    uint32_t order[KEY_PART_MAX + 1]; /* buckets by size, largest first */
    uint32_t holder[KEY_PART_MAX];    /* bucket that has the row */
    uint32_t homeless[KEY_PART_MAX + 1];
    size_t n_homeless;
};

/* A part being built. */
struct part {
    struct key_part_room *room;
    const uint64_t *hashes;
    uint32_t n;
    uint32_t n_buckets;
    uint32_t seed;
    uint32_t n_moves; /* since the seed was taken */
    uint8_t *pilots;
};

uint64_t key_part_count(uint64_t n)
{
    return (n - 1) / KEY_PART_MEAN + 1;
}

uint32_t key_part_buckets(uint64_t n)
{
    uint64_t keys = n / key_part_count(n) + 1;
    return (uint32_t)(keys * 4 / 11 + 1);
}

struct key_part_room *key_part_room_create(void)
{
    return malloc(sizeof(struct key_part_room));
}

void key_part_room_destroy(struct key_part_room *room)
{
    free(room);
}

static uint32_t size_of(const struct part *part, uint32_t bucket)
{
    return part->room->first[bucket + 1] - part->room->first[bucket];
}

/* ---- buckets --------------------------------------------------------- */

static void fill_buckets(struct part *part)
{
    struct key_part_room *room = part->room;
    memset(room->first, 0, (part->n_buckets + 1) * sizeof(room->first[0]));
    for (uint32_t i = 0; i < part->n; i++) {
        room->first[key_bucket_of(part->hashes[i], part->n_buckets) + 1]++;
    }
    for (uint32_t b = 0; b < part->n_buckets; b++) {
        room->first[b + 1] += room->first[b];
        room->cursor[b] = room->first[b];
    }
    for (uint32_t i = 0; i < part->n; i++) {
        uint32_t b = key_bucket_of(part->hashes[i], part->n_buckets);
        room->keys[room->cursor[b]++] = i;
    }
}

static bool find_twins(const struct part *part, struct key_twins *twins)
{
    const struct key_part_room *room = part->room;
    for (uint32_t b = 0; b < part->n_buckets; b++) {
        for (uint32_t i = room->first[b]; i < room->first[b + 1]; i++) {
            for (uint32_t j = room->first[b]; j < i; j++) {
                if (part->hashes[room->keys[i]] ==
                    part->hashes[room->keys[j]]) {
                    *twins = (struct key_twins){room->keys[j], room->keys[i]};
                    return true;
                }
            }
        }
    }
    return false;
}

/* Counting sort; how many are not empty, or 0 if one is too large. */
static uint32_t sort_buckets(const struct part *part)
{
    uint32_t n_of[BUCKET_MAX + 2] = {0};
    struct key_part_room *room = part->room;
    for (uint32_t b = 0; b < part->n_buckets; b++) {
        if (size_of(part, b) > BUCKET_MAX) {
            return 0;
        }
        n_of[size_of(part, b)]++;
    }
    uint32_t next = 0;
    for (uint32_t size = BUCKET_MAX; size > 0; size--) {
        uint32_t n = n_of[size];
        n_of[size] = next;
        next += n;
    }
    for (uint32_t b = 0; b < part->n_buckets; b++) {
        if (size_of(part, b) > 0) {
            room->order[n_of[size_of(part, b)]++] = b;
        }
    }
    return next;
}

/* ---- pilots ---------------------------------------------------------- */

static uint32_t slot_of(const struct part *part, uint32_t at, uint32_t pilot)
{
    return key_slot_of(part->hashes[part->room->keys[at]], part->seed, pilot,
                       part->n);
}

/* Sum of squares of the sizes of buckets that would lose their rows; `limit` or
 * more if it is not less, or two keys of the bucket itself meet. */
static uint32_t cost_of(const struct part *part, uint32_t bucket,
                        uint32_t pilot, uint32_t limit)
{
    const struct key_part_room *room = part->room;
    uint32_t slots[BUCKET_MAX];
    uint32_t n = size_of(part, bucket);
    uint32_t cost = 0;
    for (uint32_t i = 0; i < n; i++) {
        slots[i] = slot_of(part, room->first[bucket] + i, pilot);
        for (uint32_t j = 0; j < i; j++) {
            if (slots[i] == slots[j]) {
                return limit;
            }
        }
        uint32_t holder = room->holder[slots[i]];
        if (holder != NOBODY) {
            cost += size_of(part, holder) * size_of(part, holder);
            if (cost >= limit) {
                return limit;
            }
        }
    }
    return cost;
}

/* The pilot of least cost; KEY_PILOTS if none will do. Who comes again starts
 * elsewhere, so as not to go in circles. */
static uint32_t choose_pilot(const struct part *part, uint32_t bucket)
{
    uint32_t start = part->n_moves * 167;
    uint32_t best = KEY_PILOTS;
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < KEY_PILOTS && least > 0; i++) {
        uint32_t pilot = (start + i) % KEY_PILOTS;
        uint32_t cost = cost_of(part, bucket, pilot, least);
        if (cost < least) {
            least = cost;
            best = pilot;
        }
    }
    return best;
}

static void drive_out(struct part *part, uint32_t bucket)
{
    struct key_part_room *room = part->room;
    uint32_t pilot = part->pilots[bucket];
    for (uint32_t i = room->first[bucket]; i < room->first[bucket + 1]; i++) {
        uint32_t slot = slot_of(part, i, pilot);
        if (room->holder[slot] == bucket) {
            room->holder[slot] = NOBODY;
        }
    }
    room->homeless[room->n_homeless++] = bucket;
    part->n_moves++;
}

static bool place_bucket(struct part *part, uint32_t bucket)
{
    struct key_part_room *room = part->room;
    uint32_t pilot = choose_pilot(part, bucket);
    if (pilot == KEY_PILOTS) {
        return false;
    }
    part->pilots[bucket] = (uint8_t)pilot;
    for (uint32_t i = room->first[bucket]; i < room->first[bucket + 1]; i++) {
        uint32_t slot = slot_of(part, i, pilot);
        if (room->holder[slot] != NOBODY) {
            drive_out(part, room->holder[slot]);
        }
        room->holder[slot] = bucket;
    }
    return true;
}

static bool place_all(struct part *part, uint32_t n_used)
{
    struct key_part_room *room = part->room;
    uint32_t most = 2 * part->n + 64;
    memset(room->holder, 0xff, part->n * sizeof(room->holder[0]));
    memset(part->pilots, 0, part->n_buckets);
    part->n_moves = 0;
    for (uint32_t i = 0; i < n_used; i++) {
        room->homeless[0] = room->order[i];
        room->n_homeless = 1;
        while (room->n_homeless > 0) {
            if (!place_bucket(part, room->homeless[--room->n_homeless]) ||
                part->n_moves > most) {
                return false;
            }
        }
    }
    return true;
}

int key_part_build(struct key_part_room *room, const uint64_t *hashes,
                   uint32_t n, uint32_t n_buckets, uint32_t *seed,
                   uint8_t *pilots, struct key_twins *twins)
{
    struct part part = {.room = room,
                        .hashes = hashes,
                        .n = n,
                        .n_buckets = n_buckets,
                        .pilots = pilots};
    *seed = 0;
    memset(pilots, 0, n_buckets);
    fill_buckets(&part);
    if (find_twins(&part, twins)) {
        return NB_ERR_INVALID;
    }
    uint32_t n_used = sort_buckets(&part);
    if (n_used == 0) {
        return n == 0 ? 0 : NB_ERR_NOT_FOUND;
    }
    while (!place_all(&part, n_used)) {
        if (++part.seed == SEEDS_MAX) {
            return NB_ERR_NOT_FOUND;
        }
    }
    *seed = part.seed;
    return 0;
}
