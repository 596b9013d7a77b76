/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Other ways to find rows by keys, to measure the key index against. They do
 * what nb_lookup() does for NB_PACKED, with prefetching, of the same keys. */
#ifndef NB_TESTS_BENCH_KEY_RIVALS_H
#define NB_TESTS_BENCH_KEY_RIVALS_H

#include <stddef.h>
#include <stdint.h>

/*
 * A directory: rows sorted into buckets of 8 on average by the hash of their
 * keys, which stand behind them; 4 bytes say where a bucket begins. Half a byte
 * a key, and a bucket's keys are compared one after the other.
 * A hash table: slots of 16 bytes with key and row, 4 of 5 in use, linear
 * probing. 20 bytes a key, and rows are as in a dense table.
 */
enum key_rival {
    RIVAL_DIRECTORY,
    RIVAL_HASH_TABLE,
    N_RIVALS
};

struct key_rival_table {
    enum key_rival kind;
    uint64_t n_rows;
    uint64_t n_places; /* buckets or slots */
    uint64_t *index;   /* of a hash table: key, row + 1, .. */
    uint32_t *starts;  /* of a directory */
    uint8_t *rows;
    size_t stride;
    size_t row_bytes;
    size_t index_bytes;
};

const char *key_rival_name(enum key_rival kind);

/* A table with the keys disk_table_key(0..n_rows). 0, or -1: no memory. */
int key_rival_init(struct key_rival_table *rival, enum key_rival kind,
                   uint64_t n_rows, size_t row_bytes);
void key_rival_fini(struct key_rival_table *rival);

/* Copies the rows of n keys to `out`. Returns how many keys there are not. */
size_t key_rival_lookup(const struct key_rival_table *rival,
                        const uint64_t *keys, size_t n, uint8_t *out);

#endif
