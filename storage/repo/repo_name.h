/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Names in a model repository: of models, tables and files, and versions. */
#ifndef NB_STORAGE_REPO_NAME_H
#define NB_STORAGE_REPO_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPO_NAME_MAX 128 /* characters of a model's or a table's name */
#define REPO_FILE_MAX (REPO_NAME_MAX + 4) /* ".nbt" */

/* One component of a path, visible and harmless: 1 to `max` letters, digits,
 * '_', '.', '-', the first not '.'. */
bool repo_name_is_valid(const char *name, size_t max);

/* "7": digits without a leading zero, 1 to 2^64 - 1. */
bool repo_version_parse(const char *text, uint64_t *version);

#endif
