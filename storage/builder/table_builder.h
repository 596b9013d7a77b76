/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* source -> search -> codec -> table file, on many threads, in bounded memory.
 * The file is the same bytes for any number of threads. */
#ifndef NB_STORAGE_TABLE_BUILDER_H
#define NB_STORAGE_TABLE_BUILDER_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/source/source.h"
#include "storage/table/table_reader.h"

struct table_choice; /* storage/table/table_metadata.h */

enum nan_policy {
    NAN_REFUSE, /* a NaN or Inf fails the build, naming row and column */
    NAN_ZERO    /* becomes 0, and is counted */
};

/* How far a build or an evaluation is. */
struct progress {
    bool training;       /* a first reading, of which none is written */
    uint64_t rows;       /* done */
    uint64_t rows_total; /* SOURCE_ROWS_UNKNOWN if not known */
    uint64_t bytes;      /* of the source, read */
    uint64_t bytes_total;
};

/* Called from the thread that called the builder, about once a block. */
typedef void progress_fn(void *arg, const struct progress *progress);

struct build_options {
    const char *input;            /* path of the source */
    struct source_options source; /* how to read it */
    const char *output;           /* path of the table file */
    const char *codec;            /* name of codecs.def */
    const char *search;           /* name of searches.def; NULL or "" where
                                   * the codec has none */
    uint32_t scales;              /* enum nb_scales */
    enum table_columns columns;   /* else than none reads the source twice */
    uint32_t n_codebooks;         /* 0: as many as the codec usually has */
    enum nan_policy nan_policy;
    const char *keys; /* "none" (or NULL), "text": hashes of the words that
                       * stand before the rows; else a file of row_keys.h */
    const char *protect_weights;    /* rows of the greatest weights in this file
                                     * of row_weights.h are protected; NULL:
                                     * none */
    double protect_fraction;        /* of the rows: above 0, at most 1 */
    struct nb_unseen_policy unseen; /* default_row is a row of the source */
    const struct table_choice *choice; /* to record; NULL: none was made */
    unsigned threads;                  /* 0: one a processor */
    progress_fn *progress;             /* may be NULL */
    void *progress_arg;
};

struct build_report {
    const char *input_format; /* name in sources.def; static storage */
    struct nb_format format;
    uint64_t n_rows;
    uint64_t source_bytes;
    uint64_t file_bytes;
    uint64_t n_nonfinite;       /* values zeroed by NAN_ZERO */
    uint64_t n_lost;            /* rows of which zeros would lose less */
    enum table_columns columns; /* never COLUMNS_AUTO */
    uint64_t params_bytes;      /* of the parameters section */
    uint64_t keys_bytes;        /* of the key index section */
    uint64_t n_protected;       /* rows */
    struct table_stats stats;
    double seconds;
    unsigned threads;
};

/*
 * Builds the table file. On error nothing stands under the output's name that
 * was not there before. Errors are those of the source and the writer, and
 * NB_ERR_NONFINITE, NB_ERR_OVERFLOW (naming row and column), NB_ERR_SOURCE (no
 * rows), NB_ERR_NOT_FOUND (unknown codec or search), NB_ERR_INVALID (a search,
 * a scale type or a number of codebooks that the codec does not have; a key
 * that stands twice, or as many keys as rows are not there; a default row that
 * is not), and of keys those of row_keys_open() and source_watch_words().
 */
int table_build(const struct build_options *options,
                struct build_report *report, struct nb_errctx *err);

/* Whether table_build() would refuse what the options say of keys and unseen
 * ids, before much is done for it. n_rows may be SOURCE_ROWS_UNKNOWN, and then
 * is what the source says of itself. Errors of source_open() and of
 * table_build(). */
int table_build_check(const struct build_options *options, uint64_t n_rows,
                      struct nb_errctx *err);

#endif
