/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Reads a fuzz input as a source. */
#ifndef NB_TESTS_LIB_FUZZ_SOURCE_H
#define NB_TESTS_LIB_FUZZ_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "storage/source/source.h"

/* Opens the input with these options and reads it to the end, twice. Aborts
 * where the source breaks its contract. */
void fuzz_source(const uint8_t *data, size_t n,
                 const struct source_options *options);

#endif
