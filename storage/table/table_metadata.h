/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The metadata section: one JSON object that says where a table comes from. */
#ifndef NB_STORAGE_TABLE_METADATA_H
#define NB_STORAGE_TABLE_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/table/table_reader.h"

/* How codec and search were found, where they were not given. */
struct table_choice {
    const char *objective; /* what was to be least; static storage */
    bool weighted;         /* by how often rows are used */
    uint64_t n_tried;      /* candidates */
    uint64_t sample_rows;  /* that they were tried on */
    double max_bytes_per_value;
    double loss; /* on the sample, by the objective */
    double loss_of_greedy;
};

/* What the builder records. */
struct table_origin {
    const char *search;        /* name of the range search */
    const char *source;        /* path of the source; its base name is kept */
    const char *source_format; /* name in sources.def */
    uint64_t source_rows;
    uint64_t n_nonfinite; /* values set to zero */
    struct table_stats stats;
    const struct table_choice *choice; /* NULL: there was none */
};

/* The same origin gives the same text: keys are sorted, no time is recorded.
 * The caller frees *text. NB_ERR_NOMEM. */
int table_metadata_format(const struct table_origin *origin, char **text);

/* What the reader takes from it; strings are owned, "" where not recorded. */
struct table_metadata {
    char *search;
    char *source;
    struct table_stats stats; /* zeros unless has_stats */
    bool has_stats;
};

/*
 * Parses n bytes of text, which may hold fields of later versions. On success
 * the caller ends *metadata with table_metadata_fini(). `name` is for
 * messages. NB_ERR_FORMAT, NB_ERR_NOMEM.
 */
int table_metadata_parse(const char *text, size_t n, const char *name,
                         struct table_metadata *metadata,
                         struct nb_errctx *err);

void table_metadata_fini(struct table_metadata *metadata);

#endif
