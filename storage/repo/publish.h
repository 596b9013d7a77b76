/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A new version of a model, from table files: it appears whole or not at all.
 * Step by step, and crash by crash: storage/REPOSITORY.md. */
#ifndef NB_STORAGE_PUBLISH_H
#define NB_STORAGE_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/repo/manifest.h"
#include "storage/repo/model_dir.h"

struct publish_table {
    const char *name;
    const char *path; /* of its file */
};

/* Bytes copied, of all tables together. */
typedef void publish_progress_fn(void *arg, uint64_t bytes, uint64_t total);

struct publish_options {
    const char *repo; /* must be there */
    const char *model;
    const struct publish_table *tables;
    size_t n_tables;
    uint64_t version;              /* 0: one above the highest */
    uint64_t keep;                 /* versions to keep, 0: all */
    bool dry_run;                  /* check everything, change nothing */
    publish_progress_fn *progress; /* may be NULL */
    void *progress_arg;
};

struct publish_report {
    uint64_t version;            /* 0: nothing was published */
    struct manifest manifest;    /* of it */
    struct version_list deleted; /* those that --keep took away */
};

/*
 * Publishes. *report is always filled and ends with publish_report_fini(): if
 * its version is not 0 on an error, the version was published and what follows
 * failed. Errors of table_open(), file_copy(), model_dir.h; NB_ERR_INVALID
 * (names), -EEXIST (the version asked for is there).
 */
int publish(const struct publish_options *options,
            struct publish_report *report, struct nb_errctx *err);

void publish_report_fini(struct publish_report *report);

#endif
