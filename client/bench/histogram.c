/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/histogram.h"

#include <math.h>
#include <stddef.h>

#define SUB_BUCKETS (UINT64_C(1) << HISTOGRAM_SUB_BITS)

/* A value's highest bits, HISTOGRAM_SUB_BITS behind the leading one, under
 * their exponent. */
static size_t bucket_of(uint64_t ns)
{
    if (ns < 2 * SUB_BUCKETS) {
        return (size_t)ns;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
    return (size_t)((shift << HISTOGRAM_SUB_BITS) + (ns >> shift));
}

/* The greatest value of a bucket. */
static uint64_t bucket_end(size_t bucket)
{
    if (bucket < 2 * SUB_BUCKETS) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t top = (bucket & (SUB_BUCKETS - 1)) | SUB_BUCKETS;
    return (top << shift) + ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    if (histogram->n == 0 || ns < histogram->least) {
        histogram->least = ns;
    }
    if (ns > histogram->most) {
        histogram->most = ns;
    }
    histogram->n++;
    histogram->sum += ns;
    histogram->buckets[bucket_of(ns)]++;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    if (from->n == 0) {
        return;
    }
    if (to->n == 0 || from->least < to->least) {
        to->least = from->least;
    }
    if (from->most > to->most) {
        to->most = from->most;
    }
    to->n += from->n;
    to->sum += from->sum;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        to->buckets[i] += from->buckets[i];
    }
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
    double exact = ceil(share * (double)histogram->n);
    uint64_t rank = exact < 1 ? 1 : (uint64_t)exact;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            uint64_t end = bucket_end(i);
            return end < histogram->most ? end : histogram->most;
        }
    }
    return histogram->most;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->n > 0 ? (double)histogram->sum / (double)histogram->n : 0;
}
