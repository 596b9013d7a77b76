/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/stats/counters.h"

#include "proto/rpc_code.h"

static void add_one(const struct counters *from, struct totals *to)
{
    for (size_t i = 0; i < N_METHODS; i++) {
        to->methods[i].requests += counter_get(&from->methods[i].requests);
        for (size_t code = 0; code < N_CODES; code++) {
            uint64_t n = counter_get(&from->methods[i].codes[code]);
            to->methods[i].codes[code] += n;
            to->methods[i].errors += code != 0 ? n : 0;
            to->methods[i].expired += code == RPC_DEADLINE_EXCEEDED ? n : 0;
        }
        durations_sum(&from->methods[i].latency, &to->methods[i].latency);
    }
    durations_sum(&from->turns, &to->turns);
#define COUNTER(name) to->name += counter_get(&from->name);
    COUNTER_MAP(COUNTER)
#undef COUNTER
}

void counters_sum(const struct counters *counters, size_t n,
                  struct totals *totals)
{
    *totals = (struct totals){0};
    for (size_t i = 0; i < n; i++) {
        add_one(&counters[i], totals);
    }
}
