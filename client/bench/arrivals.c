/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/arrivals.h"

#include <math.h>

void arrivals_init(struct arrivals *arrivals, enum arrival_kind kind,
                   double rate, unsigned thread, unsigned n_threads,
                   uint64_t seed)
{
    *arrivals = (struct arrivals){
        .kind = kind,
        .gap_ns = 1e9 * n_threads / rate,
        .first_ns = 1e9 * thread / rate,
        /* Not the stream that the thread draws its ids from. */
        .random = random_stream_of(~seed, thread),
    };
}

uint64_t arrivals_next(struct arrivals *arrivals)
{
    if (arrivals->kind == ARRIVALS_CONSTANT) {
        /* By multiplication: sums would drift. */
        double n = (double)arrivals->n++;
        return (uint64_t)(arrivals->first_ns + n * arrivals->gap_ns);
    }
    arrivals->last_ns -= log(random_unit(&arrivals->random)) * arrivals->gap_ns;
    return (uint64_t)arrivals->last_ns;
}
