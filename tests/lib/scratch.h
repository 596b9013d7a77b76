/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A scratch directory of a test and files in it. Failures abort the test. */
#ifndef NB_TESTS_LIB_SCRATCH_H
#define NB_TESTS_LIB_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

/* Creates a directory below $TMPDIR and forgets the one before; to be used as
 * setup and teardown of a checked fixture. */
void scratch_create(void);
void scratch_remove(void);

/* Path of `name` in it; one of a few static buffers, valid for a few calls. */
const char *scratch_path(const char *name);

/* Writes, or replaces, a file; returns its path as scratch_path() does. */
const char *scratch_write(const char *name, const void *bytes, size_t n);

/* The whole of a file; the caller frees it. A NUL stands after it. */
uint8_t *scratch_read(const char *path, size_t *n);

/* Files in the directory, hidden ones included. */
size_t scratch_count(void);

#endif
