/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* manifest.json of a version directory: which tables it holds, and how each of
 * their files must look. Layout and rules: storage/REPOSITORY.md. */
#ifndef NB_STORAGE_MANIFEST_H
#define NB_STORAGE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

#define MANIFEST_FILE       "manifest.json"
#define MANIFEST_FORMAT     1
#define MANIFEST_BYTES_MAX  (4u << 20)
#define MANIFEST_TABLES_MAX 16384u

struct manifest_table {
    char *name;  /* owned */
    char *file;  /* likewise: in the version's directory */
    char *codec; /* likewise: name of codecs.def */
    uint64_t bytes;
    uint64_t rows;
    uint64_t checksum; /* of the table's header, which holds all others */
    uint32_t dim;
};

struct manifest {
    struct manifest_table *tables; /* in order of their names, which differ */
    size_t n;
};

/*
 * Parses n bytes of text, which may hold fields of later versions. On success
 * the caller ends *manifest with manifest_fini(). `path` is for messages, which
 * name the field. NB_ERR_FORMAT, NB_ERR_VERSION, NB_ERR_TOO_LARGE,
 * NB_ERR_NOMEM.
 */
int manifest_parse(const char *text, size_t n, const char *path,
                   struct manifest *manifest, struct nb_errctx *err);

/* The text of a manifest that manifest_parse() would take; the same manifest
 * gives the same text. The caller frees *text. NB_ERR_TOO_LARGE,
 * NB_ERR_NOMEM. */
int manifest_format(const struct manifest *manifest, char **text,
                    struct nb_errctx *err);

void manifest_fini(struct manifest *manifest);

#endif
