/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Named shapes of requests, and of the tables they ask. */
#ifndef NB_BENCH_PROFILE_H
#define NB_BENCH_PROFILE_H

#include <stddef.h>
#include <stdint.h>

struct profile {
    const char *name;
    uint16_t method; /* enum frame_method */
    uint32_t n_tables;
    uint32_t dim;
    const uint32_t *bags; /* ids of a bag, n_bags of them */
    size_t n_bags;        /* n_tables, or 1: the same for all */
    uint32_t samples;     /* bags of a table in a request */
    uint64_t rows;        /* of a table */
    const char *help;
};

/* NULL past the end; NULL if there is none. */
const struct profile *profile_at(size_t i);
const struct profile *profile_by_name(const char *name);

/* The same as a choice of an option. */
const char *profile_name_at(size_t i);

/* Ids in a bag of a table. */
uint32_t profile_bag(const struct profile *profile, size_t table);

/* "t0", "t1": how the tables of a profile are called. */
#define PROFILE_TABLE_BYTES 16
void profile_table_name(size_t table, char name[PROFILE_TABLE_BYTES]);

#endif
