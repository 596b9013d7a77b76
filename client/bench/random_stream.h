/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A stream of numbers that look random, the same for the same seed. */
#ifndef NB_BENCH_RANDOM_STREAM_H
#define NB_BENCH_RANDOM_STREAM_H

#include "storage/mix64.h"

struct random_stream {
    uint64_t seed;
    uint64_t next;
};

/* The index-th of the streams that belong to a seed. */
static inline struct random_stream random_stream_of(uint64_t seed,
                                                    uint64_t index)
{
    return (struct random_stream){.seed = mix64(seed, index)};
}

/* In (0, 1). */
static inline double random_unit(struct random_stream *stream)
{
    return mix64_unit(stream->seed, stream->next++);
}

/* Below n, n > 0. */
static inline uint64_t random_below(struct random_stream *stream, uint64_t n)
{
    return mix64_below(stream->seed, stream->next++, n);
}

#endif
