/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What inspect, verify and publish say about a version of a model. */
#ifndef NB_CLI_VERSION_REPORT_H
#define NB_CLI_VERSION_REPORT_H

#include <stdbool.h>

#include <jansson.h>

#include "storage/repo/manifest.h"

/* Is `path` a directory, and so a version's? */
bool version_report_is_version(const char *path);

/* Both return an exit status. */
int version_report_inspect(const char *path, bool json);
int version_report_verify(const char *path);

/* Bytes, or rows, of all tables together. */
uint64_t manifest_total_bytes(const struct manifest *manifest);
uint64_t manifest_total_rows(const struct manifest *manifest);

/* One line a table, under a line of headings. */
void manifest_print(const struct manifest *manifest);

/* The list of tables; NULL if there is no memory. */
json_t *manifest_json(const struct manifest *manifest);

#endif
