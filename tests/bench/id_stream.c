/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/bench/id_stream.h"

#include <math.h>
#include <stdlib.h>

#define ZIPF_S 0.9

static uint64_t next_random(uint64_t *state)
{
    /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double next_unit(uint64_t *state)
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

static uint64_t below(uint64_t random, uint64_t n)
{
    return (uint64_t)((unsigned __int128)random * n >> 64);
}

/* A rank by inverting the integral of x^-s from 1/2 to n + 1/2. It differs from
 * the sum by under 1 % from rank 3 on, which timing does not see. */
static uint64_t zipf_rank(uint64_t *state, uint64_t n)
{
    const double power = 1 - ZIPF_S;
    double from = pow(0.5, power);
    double to = pow((double)n + 0.5, power);
    double x = pow(from + next_unit(state) * (to - from), 1 / power);
    uint64_t rank = (uint64_t)(x + 0.5);
    return rank < 1 ? 0 : (rank > n ? n : rank) - 1;
}

/* Scatters ranks: neighbours in rank are not neighbours in the table. */
static uint64_t scatter(uint64_t rank, uint64_t n)
{
    uint64_t state = rank;
    return below(next_random(&state), n);
}

int id_stream_init(struct id_stream *stream, enum id_shape shape, size_t n,
                   uint64_t n_rows)
{
    uint64_t state = 7;
    *stream = (struct id_stream){.ids = malloc(n * sizeof(uint64_t)), .n = n};
    if (stream->ids == NULL) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        stream->ids[i] = shape == IDS_UNIFORM
                             ? below(next_random(&state), n_rows)
                             : scatter(zipf_rank(&state, n_rows), n_rows);
    }
    return 0;
}

void id_stream_fini(struct id_stream *stream)
{
    free(stream->ids);
    stream->ids = NULL;
}

const uint64_t *id_stream_take(struct id_stream *stream, size_t n)
{
    if (stream->n - stream->next < n) {
        stream->next = 0;
    }
    const uint64_t *ids = stream->ids + stream->next;
    stream->next += n;
    return ids;
}
