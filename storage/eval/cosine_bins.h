/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Counts of cosines, to tell a quantile in fixed memory. A bin holds the
 * cosines whose distance from 1 has the same exponent and the same 7 bits of
 * fraction, so that a quantile's distance from 1 is told to 1 part in 256. */
#ifndef NB_STORAGE_COSINE_BINS_H
#define NB_STORAGE_COSINE_BINS_H

#define COSINE_FRACTION_BITS 7
#define COSINE_LEAST         0x1p-40f /* what is nearer to 1 counts as 1 */
#define COSINE_OCTAVES       41       /* from there to 2 */
#define COSINE_BINS          ((COSINE_OCTAVES << COSINE_FRACTION_BITS) + 2)

/* To be zeroed. */
struct cosine_bins {
    double weight[COSINE_BINS]; /* 0: cosine 1; then further and further away */
    double total;
};

void cosine_bins_add(struct cosine_bins *bins, double cosine, double weight);

/* The cosine that a `fraction` of the weight is at or below; 0 if there is no
 * weight. */
double cosine_bins_quantile(const struct cosine_bins *bins, double fraction);

#endif
