/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A file's bytes to another, by the cheapest way that the file systems know:
 * shared blocks, a copy in the kernel, a copy by hand. */
#ifndef NB_STORAGE_FILE_COPY_H
#define NB_STORAGE_FILE_COPY_H

#include <stdint.h>

/* Called now and then with how many bytes are there. */
typedef void file_copy_fn(void *arg, uint64_t bytes);

/* Copies the first `bytes` bytes of a regular file to the start of an empty
 * one; `copied` may be NULL. -errno, NB_ERR_TRUNCATED, NB_ERR_NOMEM. */
int file_copy(int from, int to, uint64_t bytes, file_copy_fn *copied,
              void *arg);

#endif
