/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Which ids requests ask for. */
#ifndef NB_BENCH_ID_CHOICE_H
#define NB_BENCH_ID_CHOICE_H

#include <stddef.h>
#include <stdint.h>

#include "client/bench/random_stream.h"
#include "client/bench/scramble.h"
#include "client/bench/zipf.h"
#include "quant/nibble.h"

enum id_kind {
    ID_UNIFORM,
    ID_ZIPF, /* over the ids in a scrambled order */
    ID_HOT,  /* a part of the ids gets a part of the requests, both uniform */
    ID_TRACE /* as they stand in a file, again from its start at its end */
};

/* The same for all tables. */
struct id_choice {
    enum id_kind kind;
    double s;              /* ID_ZIPF */
    double hot_rows;       /* ID_HOT: share of the rows, 0..1, */
    double hot_share;      /* and of the ids asked for that are among them */
    const uint64_t *trace; /* ID_TRACE: borrowed from whoever read it */
    size_t n_trace;
};

/* Reads "uniform", "zipf", "zipf:S", "hot:ROWS:SHARE" or "trace:FILE"; of the
 * last, *path is FILE, and NULL otherwise. NB_ERR_INVALID. */
int id_choice_parse(const char *text, struct id_choice *choice,
                    const char **path, struct nb_errctx *err);

/* The choice for one table. */
struct id_source {
    const struct id_choice *choice;
    uint64_t n_rows;
    uint64_t n_hot;
    size_t next; /* of the trace */
    struct zipf zipf;
    struct scramble scramble;
};

/* n_rows >= 1. Of a seed, every id_source of as many rows has the same popular
 * ids. `choice` is borrowed. `first`: where in the trace to begin. */
void id_source_init(struct id_source *source, const struct id_choice *choice,
                    uint64_t n_rows, uint64_t seed, size_t first);

uint64_t id_source_next(struct id_source *source, struct random_stream *random);

#endif
