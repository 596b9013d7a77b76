/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* One version of a model: a directory with a manifest and the tables that it
 * names, all opened and held against it. */
#ifndef NB_STORAGE_MODEL_VERSION_H
#define NB_STORAGE_MODEL_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/repo/manifest.h"
#include "storage/table/table_reader.h"

/* Tells a version from another that took its place under the same number: its
 * manifest's file, and when that was last changed. */
struct version_id {
    struct file_id manifest;
    uint64_t changed_ns;
};

struct model_version {
    struct version_id id;
    struct manifest manifest;
    /* One for each of the manifest's, in that order. Whoever takes a table
     * over leaves NULL. */
    struct table **tables;
};

/*
 * Opens every table of the directory `path`. On success the caller ends
 * *version with model_version_close().
 * Errors of manifest_parse() and table_open(); NB_ERR_UNSUPPORTED: the manifest
 * or a table is a link or no file; NB_ERR_FORMAT, NB_ERR_CHECKSUM: a table is
 * not what the manifest says. *err names the file and the field.
 */
int model_version_open(const char *path, enum table_verify verify,
                       struct model_version **version, struct nb_errctx *err);

/* The identity of the version in the directory `path`. -errno, NB_ERR_NOMEM. */
int model_version_identify(const char *path, struct version_id *id);
bool version_id_equal(const struct version_id *a, const struct version_id *b);

/* table_verify_rest() and table_prefault() of every table; `path` as it was
 * opened. *err names the file. */
int model_version_verify_rest(const struct model_version *version,
                              const char *path, const struct io_pace *pace,
                              struct nb_errctx *err);
int model_version_prefault(const struct model_version *version,
                           const char *path, const struct io_pace *pace,
                           struct nb_errctx *err);

/* Of all files of tables together. */
uint64_t model_version_bytes(const struct model_version *version);

/* NULL is allowed. */
void model_version_close(struct model_version *version);

/* Holds a table against an entry of a manifest; `path` is of its file. */
int model_version_check_table(const struct manifest_table *entry,
                              const struct table_info *info, const char *path,
                              struct nb_errctx *err);

#endif
