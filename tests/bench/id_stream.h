/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Ids to ask for, made before the clock runs. */
#ifndef NB_TESTS_BENCH_ID_STREAM_H
#define NB_TESTS_BENCH_ID_STREAM_H

#include <stddef.h>
#include <stdint.h>

enum id_shape {
    IDS_UNIFORM,
    IDS_ZIPF /* P(rank k) ~ k^-0.9, ranks scattered over the table */
};

/* Long enough that rows asked for once have left the cache when their turn
 * comes again. */
struct id_stream {
    uint64_t *ids;
    size_t n;
    size_t next;
};

/* n ids below n_rows, the same for the same arguments. 0, or -1: no memory. */
int id_stream_init(struct id_stream *stream, enum id_shape shape, size_t n,
                   uint64_t n_rows);
void id_stream_fini(struct id_stream *stream);

/* The next n ids, n at most the stream's; it starts anew at its end. */
const uint64_t *id_stream_take(struct id_stream *stream, size_t n);

#endif
