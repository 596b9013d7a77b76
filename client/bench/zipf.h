/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Ranks 0, 1, 2... drawn with probability proportional to (rank + 1)^-s, in
 * constant time whatever their number. */
#ifndef NB_BENCH_ZIPF_H
#define NB_BENCH_ZIPF_H

#include <stdint.h>

#include "client/bench/random_stream.h"

struct zipf {
    double s;
    double n;
    double area_first; /* integral up to rank 1.5, less the weight of rank 1 */
    double area_all;   /* up to n + 0.5 */
    double sure;       /* from so near below a rank, it is taken at once */
};

/* n >= 1 ranks (above 2^53 as good as doubles are), s > 0. */
void zipf_init(struct zipf *zipf, uint64_t n, double s);

/* A rank below n. */
uint64_t zipf_rank(const struct zipf *zipf, struct random_stream *random);

#endif
