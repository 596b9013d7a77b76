/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Table files for tests. Failures abort the test. */
#ifndef NB_TESTS_LIB_TABLE_FILES_H
#define NB_TESTS_LIB_TABLE_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

#define TABLE_FILE_METADATA                                                    \
    "{\"error\": {\"max_abs\": 0.25, \"mse\": 0.5, \"nl2\": 0.125}, "          \
    "\"search\": \"greedy\", \"source\": {\"name\": \"vectors.npy\"}}"

/* Format of q4 rows with fp16 scales. */
struct nb_format table_file_format(uint32_t dim);

/* Writes n_rows q4 rows of pseudo-random codes (scale 2^-4, bias -1/2) with the
 * metadata above; returns the path as scratch_path() does. */
const char *table_file_write(const char *name, uint32_t dim, size_t n_rows);

/* The rows that table_file_write() writes; the caller frees them. */
uint8_t *table_file_rows(uint32_t dim, size_t n_rows);

/* Recomputes the header checksum of a file in memory after a change. */
void table_file_fix_header(uint8_t *bytes, size_t n);

#endif
