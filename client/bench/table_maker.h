/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Tables to measure with: their values follow from a seed, a table and a
 * version, so that any machine makes the same, and no two versions do. */
#ifndef NB_BENCH_TABLE_MAKER_H
#define NB_BENCH_TABLE_MAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/bench/profile.h"
#include "quant/nibble.h"

struct made_table {
    const char *name;
    uint64_t rows;
    uint32_t dim;
    const char *codec; /* of table_maker_codec_at() */
};

/* Name of the i-th codec that tables can be made of: of those that need no
 * training. NULL past the end. */
const char *table_maker_codec_at(size_t i);

/* Rows written so far, of all tables together; NULL: nobody is told. */
typedef void table_maker_progress_fn(void *arg, uint64_t rows, uint64_t total);

struct table_maker_options {
    const char *repo; /* made if it is not there */
    const char *model;
    const struct made_table *tables;
    size_t n_tables;
    uint64_t seed;
    table_maker_progress_fn *progress;
    void *progress_arg;
    const bool *stop; /* once true, by a signal, making ends; NULL: never */
};

/* Whether it can be made. NB_ERR_UNSUPPORTED: its codec is not of these. */
int table_maker_check(const struct made_table *table, struct nb_errctx *err);

/* Makes the tables, as the next version of the model. -errno, -EINTR when it
 * was stopped, which leaves nothing; NB_ERR_UNSUPPORTED: a codec is not of
 * these; errors of table_writer.h and publish(). */
int table_maker_publish(const struct table_maker_options *options,
                        uint64_t *version, struct nb_errctx *err);

/* The tables of a profile, rows times `scale` (one row at least). *names is
 * the memory of the names; the caller frees both; the codec is borrowed.
 * NB_ERR_NOMEM. */
int table_maker_profile(const struct profile *profile, double scale,
                        const char *codec, struct made_table **tables,
                        char **names, struct nb_errctx *err);

#endif
