/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What the specification of the greedy search and its kernels share. */
#ifndef NB_QUANT_GREEDY_H
#define NB_QUANT_GREEDY_H

#define GREEDY_BINS     200
#define GREEDY_MIN_BINS 168 /* (int)(200 * (1.0 - (float)0.16)) */

#endif
