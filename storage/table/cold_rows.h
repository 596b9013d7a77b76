/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows that are on disk only. */
#ifndef NB_STORAGE_COLD_ROWS_H
#define NB_STORAGE_COLD_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/table/key_index.h"
#include "storage/table/table_map.h"

/* The same of one row, row < n_rows. */
size_t cold_rows_find_row(const struct table_map *map,
                          const struct nb_rows *rows, uint64_t row,
                          uint16_t look, size_t max, uint64_t *offsets);

/* Offsets in the file, at most `max`, of pages in no cache that rows of the ids
 * need, second rows of protected ones included. Rows are in the mapping; `keys`
 * is asked if they have keys. `look` is as table_find_cold() says. Returns how
 * many. */
size_t cold_rows_find(const struct table_map *map, const struct nb_rows *rows,
                      const struct key_index *keys, const struct nb_ids *ids,
                      uint16_t look, size_t max, uint64_t *offsets);

#endif
