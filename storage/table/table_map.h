/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The bytes of a table file in memory. */
#ifndef NB_STORAGE_TABLE_MAP_H
#define NB_STORAGE_TABLE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/io/io_pace.h"
#include "storage/table/table_reader.h"

/* All zeros: nothing is mapped. */
struct table_map {
    void *at;
    size_t bytes; /* of the file */
    int fd;       /* of the file; -1: it is owned, or this is a copy */
    bool owned;   /* the file, by this process' user: mincore() says true. Of
                   * other files preadv2() does, but begins to read them. */
    /* One a page, written by all that look: the number of the look that
     * found it in memory, 0 for none. NULL: of a copy, or no memory for it. */
    uint16_t *seen;
    enum table_residency residency;
    uint64_t huge_bytes;
};

/* Maps n bytes of a file, read-only. -errno. */
int table_map_file(int fd, size_t n, struct table_map *map);

/* table_prefault() and table_reside() of a map; `at` changes with
 * RESIDENCY_HUGE. `name` is for messages. */
int table_map_prefault(const struct table_map *map, const struct io_pace *pace);
int table_map_reside(struct table_map *map, enum table_residency residency,
                     const struct io_pace *pace, const char *name,
                     struct nb_errctx *err);

/* Is the page with the byte at `offset` in no cache, so that to touch it takes
 * an access to the disk? False if the system does not say. It is not asked for
 * pages that this look, or the one before it, found in memory. */
bool table_map_is_cold(const struct table_map *map, uint64_t offset,
                       uint16_t look);

/* Reads the pages with the bytes at n offsets, all at a time as far as the disk
 * can, and waits for them. What cannot be read is left. */
void table_map_read(const struct table_map *map, const uint64_t *offsets,
                    size_t n);

/* In steps. */
void table_map_close(struct table_map *map);

#endif
