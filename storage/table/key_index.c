/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table/key_index.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "quant/bytes.h"
#include "quant/checked.h"
#include "quant/key_probe.h"
#include "storage/table/table_format.h"

#define HUGE_PAGE ((size_t)2 << 20)

/* ---- memory -------------------------------------------------------------- */

uint8_t *key_index_memory(size_t n)
{
    if (n < HUGE_PAGE) {
        return malloc(n);
    }
    uint64_t room;
    if (!checked_round_up(n, HUGE_PAGE, &room)) {
        return NULL;
    }
    uint8_t *memory = aligned_alloc(HUGE_PAGE, (size_t)room);
    if (memory != NULL) {
        /* Pilots are asked for in any order; without the advice they are only
         * slower. */
        (void)madvise(memory, (size_t)room, MADV_HUGEPAGE);
    }
    return memory;
}

/* Offset of the pilots, and the length of the section. */
static bool section_layout(uint64_t n_parts, uint32_t n_buckets,
                           uint64_t *pilots, uint64_t *bytes)
{
    uint64_t n_pilots;
    return checked_mul(n_parts, KEYS_PART_BYTES, pilots) &&
           checked_add(*pilots, KEYS_PARTS, pilots) &&
           checked_mul(n_parts, n_buckets, &n_pilots) &&
           checked_add(*pilots, n_pilots, bytes) && *bytes <= PTRDIFF_MAX;
}

/* The index over a section that has room for it. */
static void point(struct key_index *index, uint64_t n_parts, uint32_t n_buckets,
                  uint64_t pilots)
{
    index->view = (struct nb_keys){
        .n_parts = n_parts,
        .n_buckets = n_buckets,
        .parts = index->parts,
        .pilots = index->section + pilots,
    };
}

int key_index_alloc(uint64_t n_parts, uint32_t n_buckets,
                    struct key_index *index)
{
    uint64_t pilots;
    uint64_t bytes;
    if (!section_layout(n_parts, n_buckets, &pilots, &bytes)) {
        return NB_ERR_NOMEM;
    }
    struct key_index made = {
        .parts = calloc((size_t)n_parts, sizeof(*made.parts)),
        .section = key_index_memory((size_t)bytes),
        .section_bytes = (size_t)bytes,
    };
    if (made.parts == NULL || made.section == NULL) {
        key_index_fini(&made);
        return NB_ERR_NOMEM;
    }
    memset(made.section, 0, made.section_bytes);
    point(&made, n_parts, n_buckets, pilots);
    *index = made;
    return 0;
}

void key_index_fini(struct key_index *index)
{
    free(index->parts);
    free(index->section);
    *index = (struct key_index){0};
}

uint8_t *key_index_pilots(struct key_index *index, uint64_t part)
{
    size_t offset = (size_t)(index->view.pilots - index->section);
    return index->section + offset + part * index->view.n_buckets;
}

/* ---- the section ----------------------------------------------------- */

void key_index_encode(struct key_index *index)
{
    uint8_t *at = index->section;
    put_u64(at + KEYS_SEED, index->view.seed);
    put_u64(at + KEYS_N_PARTS, index->view.n_parts);
    put_u32(at + KEYS_N_BUCKETS, index->view.n_buckets);
    put_u32(at + KEYS_KIND, index->kind);
    put_u64(at + KEYS_ZERO, 0);
    at += KEYS_PARTS;
    for (uint64_t i = 0; i < index->view.n_parts; i++, at += KEYS_PART_BYTES) {
        put_u64(at + KEYS_PART_FIRST_ROW, index->parts[i].first_row);
        put_u32(at + KEYS_PART_N_ROWS, index->parts[i].n_rows);
        put_u32(at + KEYS_PART_SEED, index->parts[i].seed);
    }
}

uint64_t key_index_section_max(uint64_t n_rows)
{
    uint64_t max;
    return checked_mul(n_rows, 2, &max) && checked_add(max, TABLE_PAGE, &max)
               ? max
               : UINT64_MAX;
}

static int malformed(const char *name, uint64_t offset, const char *what,
                     struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_FORMAT,
                   "%s: key index section at %" PRIu64 ": %.120s", name, offset,
                   what);
}

int key_index_decode(uint8_t *section, size_t n, uint64_t offset,
                     uint64_t n_rows, const char *name, struct key_index *index,
                     struct nb_errctx *err)
{
    if (n < KEYS_PARTS) {
        return malformed(name, offset, "shorter than its fields", err);
    }
    uint64_t n_parts = get_u64(section + KEYS_N_PARTS);
    uint32_t n_buckets = get_u32(section + KEYS_N_BUCKETS);
    uint32_t kind = get_u32(section + KEYS_KIND);
    uint64_t pilots;
    uint64_t bytes;
    if (!section_layout(n_parts, n_buckets, &pilots, &bytes) || bytes != n) {
        return malformed(name, offset, "length is not that of its parts", err);
    }
    if (get_u64(section + KEYS_ZERO) != 0) {
        return malformed(name, offset, "field at 24 is not 0", err);
    }
    if (kind > KEY_WORDS) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: key index section at %" PRIu64 ": keys of kind "
                       "%" PRIu32 " need a newer program",
                       name, offset, kind);
    }
    struct key_index made = {
        .parts = malloc((size_t)(n_parts + 1) * sizeof(*made.parts)),
        .kind = kind,
        .section = section,
        .section_bytes = n,
    };
    if (made.parts == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: key index: out of memory", name);
    }
    const uint8_t *at = section + KEYS_PARTS;
    for (uint64_t i = 0; i < n_parts; i++, at += KEYS_PART_BYTES) {
        made.parts[i] = (struct nb_key_part){
            .first_row = get_u64(at + KEYS_PART_FIRST_ROW),
            .n_rows = get_u32(at + KEYS_PART_N_ROWS),
            .seed = get_u32(at + KEYS_PART_SEED),
        };
    }
    point(&made, n_parts, n_buckets, pilots);
    made.view.seed = get_u64(section + KEYS_SEED);
    struct nb_errctx why;
    if (nb_keys_check(&made.view, n_rows, &why) != 0) {
        free(made.parts);
        return malformed(name, offset, why.text, err);
    }
    *index = made;
    return 0;
}

uint64_t key_index_row(const struct key_index *index, uint64_t key)
{
    struct key_probe probe = key_probe(&index->view, key);
    return probe.part->n_rows > 0 ? key_probe_row(&probe) : UINT64_MAX;
}
