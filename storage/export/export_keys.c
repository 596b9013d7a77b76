/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Export of the keys of a keyed table: a .npy vector of '<u8', in the order of
 * the rows that the other formats write. */
#include <stdlib.h>

#include "quant/bytes.h"
#include "storage/export/export_format.h"
#include "storage/source/npy_header.h"

#define BLOCK_KEYS ((size_t)32 * 1024)

static int write_keys(const struct table *table, uint8_t *block,
                      struct atomic_file *file, struct nb_errctx *err)
{
    uint64_t n_rows = table_info(table)->n_rows;
    uint64_t offset = NPY_WRITTEN_BYTES;
    int rv = 0;
    for (uint64_t first = 0; first < n_rows && rv == 0;) {
        uint64_t left = n_rows - first;
        size_t n = left < BLOCK_KEYS ? (size_t)left : BLOCK_KEYS;
        for (size_t i = 0; i < n; i++) {
            put_u64(block + i * NB_KEY_BYTES, table_key(table, first + i));
        }
        rv = atomic_file_write(file, block, n * NB_KEY_BYTES, offset, err);
        first += n;
        offset += n * NB_KEY_BYTES;
    }
    return rv;
}

static int keys_write(const struct table *table, struct atomic_file *file,
                      struct nb_errctx *err)
{
    const char *path = atomic_file_path(file);
    if (table_info(table)->keys_bytes == 0) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: the table has no keys: an id is a row number",
                       path);
    }
    uint8_t header[NPY_WRITTEN_BYTES];
    npy_header_write("<u8", table_info(table)->n_rows, 0, header);
    int rv = atomic_file_write(file, header, sizeof(header), 0, err);
    if (rv != 0) {
        return rv;
    }
    uint8_t *block = malloc(BLOCK_KEYS * NB_KEY_BYTES);
    rv = block == NULL ? nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path)
                       : write_keys(table, block, file, err);
    free(block);
    return rv;
}

const struct export_format export_keys = {.name = "keys", .write = keys_write};
