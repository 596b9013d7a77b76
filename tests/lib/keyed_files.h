/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Keyed table files for tests, of q4 rows. Failures abort the test. */
#ifndef NB_TESTS_LIB_KEYED_FILES_H
#define NB_TESTS_LIB_KEYED_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "storage/table/table_writer.h"

/* A writer with all rows of table_file_rows() and their keys appended; the
 * caller commits and destroys it. */
struct table_writer *keyed_file_begin(const char *path, uint32_t dim,
                                      const uint64_t *keys, size_t n_rows,
                                      unsigned threads);

/* Writes the file; returns the path as scratch_path() does. */
const char *keyed_file_write(const char *name, uint32_t dim,
                             const uint64_t *keys, size_t n_rows,
                             unsigned threads);

#endif
