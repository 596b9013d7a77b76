/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The key index of a table: its section of the file, in memory. */
#ifndef NB_STORAGE_KEY_INDEX_H
#define NB_STORAGE_KEY_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

/* What keys are, as stored in files. */
enum key_kind {
    KEY_NUMBERS = 0,
    KEY_WORDS = 1 /* xxh3-64 of a text */
};

/* An index and what it points to. All zeros: none. */
struct key_index {
    struct nb_keys view;
    enum key_kind kind;
    struct nb_key_part *parts; /* owned */
    uint8_t *section;          /* owned: as it stands in the file, with room for
                                * the fields and parts that come before the
                                * pilots */
    size_t section_bytes;
};

/* Makes room for parts and pilots, all zeros. The caller ends *index with
 * key_index_fini(). NB_ERR_NOMEM. */
int key_index_alloc(uint64_t n_parts, uint32_t n_buckets,
                    struct key_index *index);

void key_index_fini(struct key_index *index);

/* The pilots of a part, to be written by the owner. */
uint8_t *key_index_pilots(struct key_index *index, uint64_t part);

/* Writes fields and parts into the section. */
void key_index_encode(struct key_index *index);

/* Most bytes that the section of a table may have: what the header alone
 * tells. */
uint64_t key_index_section_max(uint64_t n_rows);

/* Memory for a section of n bytes, on large pages if that is of use; free()
 * ends it. NULL: none. */
uint8_t *key_index_memory(size_t n);

/* Decodes the n bytes of a section that stands at `offset` of the file `name`,
 * and checks them; takes `section` over on success. NB_ERR_FORMAT,
 * NB_ERR_UNSUPPORTED (a kind of later programs), NB_ERR_NOMEM. */
int key_index_decode(uint8_t *section, size_t n, uint64_t offset,
                     uint64_t n_rows, const char *name, struct key_index *index,
                     struct nb_errctx *err);

/* The row of a key if it is in the table; UINT64_MAX if the key leads to no
 * row. */
uint64_t key_index_row(const struct key_index *index, uint64_t key);

#endif
