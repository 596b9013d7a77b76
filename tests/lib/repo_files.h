/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A model repository in the scratch directory, with one model "m" of two
 * tables, "a" and "b". Failures abort the test. */
#ifndef NB_TESTS_LIB_REPO_FILES_H
#define NB_TESTS_LIB_REPO_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "storage/repo/model_repo.h"
#include "storage/repo/publish.h"

/* Makes the repository; its path. */
const char *repo_files_create(void);

/* Publishes with both tables of n_rows rows; 0 and the version, or an error. */
int repo_files_publish(uint64_t version, uint64_t keep, size_t n_rows,
                       uint64_t *published, struct nb_errctx *err);

/* The same, which must work. */
uint64_t repo_files_add(uint64_t keep, size_t n_rows);

/* REPO/m/NAME, as scratch_path() does. */
const char *repo_files_path(const char *name);

/* The versions there are, each of which must be whole; a space between. Valid
 * until the next call. */
const char *repo_files_versions(void);

/* Entries of REPO/m whose names begin with a dot. */
size_t repo_files_hidden(void);

/* Searches that tell nobody. */
extern const struct serving_search repo_files_full;
extern const struct serving_search repo_files_header;

/* Opens what is to be served, to its last byte: its version, and the rows of
 * its tables, which must be the same in both. */
uint64_t repo_files_serving(size_t *n_rows);

#endif
