/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Checks of sources for the suites of their formats. Failures abort the test.
 */
#ifndef NB_TESTS_LIB_SOURCE_CHECKS_H
#define NB_TESTS_LIB_SOURCE_CHECKS_H

#include <stddef.h>
#include <stdint.h>

#include "storage/source/source.h"

/* Opens the source, which must be of that format and shape, and reads it three
 * times, one, two and all rows at once: the values must be these, bit for bit.
 */
void source_check_rows(const char *path, const struct source_options *options,
                       const char *format, const float *values, size_t n_rows,
                       uint32_t dim);

/* Opens and reads to the end: fails with this code, once, and a message that
 * holds the words and begins with a path. */
void source_check_refused(const char *path,
                          const struct source_options *options, int rv,
                          const char *words);

#endif
