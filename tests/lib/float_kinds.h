/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Floats that rows, weights and codebooks of tests are made of. */
#ifndef NB_TESTS_FLOAT_KINDS_H
#define NB_TESTS_FLOAT_KINDS_H

#include "tests/lib/rng.h"

enum float_kind {
    NARROW,  /* scales within a factor of two */
    USUAL,   /* within a few hundred */
    ODD,     /* zeros, subnormals, infinities, NaNs among them */
    EXTREME, /* the greatest codes, scales just below a power of two */
    FAR,     /* subnormal and huge ones among them, all finite */
    N_KINDS
};

float float_of_kind(struct rng *rng, enum float_kind kind);

#endif
