/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Tables of many rows in files, for benches. Failures end the program. */
#ifndef NB_TESTS_BENCH_DISK_TABLE_H
#define NB_TESTS_BENCH_DISK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/table/table_reader.h"

#define DISK_TABLE_DIM 64u

struct disk_table {
    struct table *table;
    int fd;              /* of the file */
    double seconds;      /* that writing took */
    uint64_t keys_bytes; /* of the key index */
};

/* Writes n_rows q4 rows to a file without a name and opens it, mapped. Some
 * rows are encoded from random values, the others repeat them. Row i has the
 * key disk_table_key(i) if `keyed`. */
void disk_table_make(struct disk_table *made, uint64_t n_rows, bool keyed);
void disk_table_fini(struct disk_table *made);

/* The same file once more, kept in memory that way, and what that took; NULL,
 * with a line on stderr, if the system refuses. table_close() ends it. */
struct table *disk_table_again(const struct disk_table *made,
                               enum table_residency residency, double *seconds);

/* table_reside(), with a line on stderr and false if the system refuses. */
bool disk_table_reside(struct disk_table *made, enum table_residency residency);

/* Bytes of an encoded row. */
size_t disk_table_row_bytes(void);

/* Different for each i, and like random numbers. */
static inline uint64_t disk_table_key(uint64_t i)
{
    uint64_t z = i + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

#endif
