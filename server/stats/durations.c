/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/stats/durations.h"

#include "server/stats/counters.h"

#define DECADE(us)                                                             \
    UINT64_C(1000) * (us), UINT64_C(1200) * (us), UINT64_C(1500) * (us),       \
        UINT64_C(2000) * (us), UINT64_C(2500) * (us), UINT64_C(3000) * (us),   \
        UINT64_C(4000) * (us), UINT64_C(5000) * (us), UINT64_C(6000) * (us),   \
        UINT64_C(8000) * (us)

const uint64_t duration_bounds_ns[DURATION_BOUNDS] = {
    DECADE(1),     DECADE(10),     DECADE(100),     DECADE(1000),
    DECADE(10000), DECADE(100000), DECADE(1000000), UINT64_C(10000000000)};

/* Index of the first bound that is not below `ns`. */
static size_t bucket_of(uint64_t ns)
{
    size_t low = 0;
    size_t high = DURATION_BOUNDS;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (duration_bounds_ns[middle] < ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void durations_add(struct durations *durations, uint64_t ns, uint64_t n)
{
    counter_add(&durations->counts[bucket_of(ns)], n);
    counter_add(&durations->sum_ns, ns * n);
}

void durations_sum(const struct durations *from, struct duration_totals *to)
{
    for (size_t i = 0; i < DURATION_BUCKETS; i++) {
        to->counts[i] +=
            atomic_load_explicit(&from->counts[i], memory_order_relaxed);
    }
    to->sum_ns += atomic_load_explicit(&from->sum_ns, memory_order_relaxed);
}
