/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/eval/cosine_bins.h"

#include <stddef.h>
#include <stdint.h>

#include "quant/half.h"

#define SHIFT (23 - COSINE_FRACTION_BITS)

/* Bits of a positive float grow with it: the upper ones number the bins. */
static uint32_t first_bits(void)
{
    return float_bits(COSINE_LEAST) >> SHIFT;
}

static size_t bin_of(double cosine)
{
    float distance = (float)(1 - cosine);
    if (!(distance >= COSINE_LEAST)) {
        return 0;
    }
    size_t bin = 1 + (float_bits(distance) >> SHIFT) - first_bits();
    return bin < COSINE_BINS ? bin : COSINE_BINS - 1;
}

/* The middle of a bin. */
static double cosine_of(size_t bin)
{
    if (bin == 0) {
        return 1;
    }
    uint32_t bits = ((uint32_t)bin - 1 + first_bits()) << SHIFT;
    double distance = (double)float_from_bits(bits | 1u << (SHIFT - 1));
    return distance < 2 ? 1 - distance : -1;
}

void cosine_bins_add(struct cosine_bins *bins, double cosine, double weight)
{
    bins->weight[bin_of(cosine)] += weight;
    bins->total += weight;
}

double cosine_bins_quantile(const struct cosine_bins *bins, double fraction)
{
    if (!(bins->total > 0)) {
        return 0;
    }
    size_t bin = COSINE_BINS - 1;
    double below = bins->weight[bin];
    while (bin > 0 && below < fraction * bins->total) {
        below += bins->weight[--bin];
    }
    /* Rounding may leave the sum short: not in an empty bin then. */
    while (bins->weight[bin] == 0) {
        bin++;
    }
    return cosine_of(bin);
}
