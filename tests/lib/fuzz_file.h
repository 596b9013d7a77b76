/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A fuzz input as a file in memory. */
#ifndef NB_TESTS_LIB_FUZZ_FILE_H
#define NB_TESTS_LIB_FUZZ_FILE_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_file {
    int fd;
    char path[40];
};

/* Aborts where the system has no such files. */
void fuzz_file_init(struct fuzz_file *file, const uint8_t *data, size_t n);
void fuzz_file_fini(struct fuzz_file *file);

#endif
