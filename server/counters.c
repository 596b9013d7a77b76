/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/counters.h"

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_one(const struct counters *from, struct totals *to)
{
    for (size_t i = 0; i < N_METHODS; i++) {
#define COUNTER(name) to->methods[i].name += load(&from->methods[i].name);
        METHOD_COUNTER_MAP(COUNTER)
#undef COUNTER
    }
#define COUNTER(name) to->name += load(&from->name);
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
