/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The bytes of a table file in memory. */
#ifndef NB_STORAGE_TABLE_MAP_H
#define NB_STORAGE_TABLE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/io_pace.h"
#include "storage/table_reader.h"

/* All zeros: nothing is mapped. */
struct table_map {
    void *at;
    size_t bytes; /* of the file */
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

/* In steps. */
void table_map_close(struct table_map *map);

#endif
