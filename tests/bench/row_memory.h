/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Encoded rows on pages of a chosen size. */
#ifndef NB_TESTS_BENCH_ROW_MEMORY_H
#define NB_TESTS_BENCH_ROW_MEMORY_H

#include <stdbool.h>

#include "quant/nibble.h"

struct row_memory {
    struct nb_rows rows;
    struct nb_params params; /* codebooks trained on the encoded rows */
    void *map;
    size_t map_bytes;
};

/* A table of `n_rows` rows, on 2 MiB pages if `huge`. Some rows are encoded
 * from random values, the others repeat them: what is in a row does not change
 * its time. 0, or -1: no memory. */
int row_memory_init(struct row_memory *memory, const struct nb_format *format,
                    uint64_t n_rows, bool huge);
void row_memory_fini(struct row_memory *memory);

/* Touches every line of the rows `ids` in order, 24 rows prefetched ahead, and
 * does nothing else: the limit that memory sets. Returns what it read. */
uint64_t row_memory_touch(const struct nb_rows *rows, const uint64_t *ids,
                          size_t n);

/* The same, and writes out_bytes a row to `out`: the limit of decoding. */
uint64_t row_memory_touch_write(const struct nb_rows *rows, const uint64_t *ids,
                                size_t n, void *out, size_t out_bytes);

#endif
