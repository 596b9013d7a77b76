/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table/cold_rows.h"

#include <unistd.h>

#include "quant/protect.h"

/* Pages being found. */
struct finding {
    const struct table_map *map;
    uint16_t look;
    size_t max;
    size_t n;
    uint64_t *offsets;
};

static void find_page(struct finding *finding, uint64_t offset)
{
    if (finding->n < finding->max &&
        table_map_is_cold(finding->map, offset, finding->look)) {
        finding->offsets[finding->n++] = offset;
    }
}

/* Every page of a row, which has one byte at least. */
static void find_row(struct finding *finding, const uint8_t *at, size_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t offset = (uint64_t)(at - (const uint8_t *)finding->map->at);
    uint64_t end = offset + bytes;
    while (offset < end) {
        find_page(finding, offset);
        offset = (offset / page + 1) * page;
    }
}

/* With its second one, if it is protected. */
static void find_whole(struct finding *finding, const struct nb_rows *rows,
                       uint64_t row)
{
    const uint8_t *at = (const uint8_t *)rows->base + row * rows->stride;
    const uint8_t *residual =
        rows->protect != NULL ? protect_residual(rows, at) : NULL;
    find_row(finding, at, rows->stride);
    if (residual != NULL) {
        find_row(finding, residual, rows->protect->stride);
    }
}

size_t cold_rows_find_row(const struct table_map *map,
                          const struct nb_rows *rows, uint64_t row,
                          uint16_t look, size_t max, uint64_t *offsets)
{
    struct finding finding = {map, look, max, 0, offsets};
    find_whole(&finding, rows, row);
    return finding.n;
}

size_t cold_rows_find(const struct table_map *map, const struct nb_rows *rows,
                      const struct key_index *keys, const struct nb_ids *ids,
                      uint16_t look, size_t max, uint64_t *offsets)
{
    struct finding finding = {map, look, max, 0, offsets};
    for (size_t i = 0; i < ids->n && finding.n < max; i++) {
        uint64_t id = ids->u64 != NULL ? ids->u64[i] : ids->u32[i];
        uint64_t row = rows->keys != NULL ? key_index_row(keys, id) : id;
        if (row < rows->n_rows) {
            find_whole(&finding, rows, row);
        }
    }
    return finding.n;
}
