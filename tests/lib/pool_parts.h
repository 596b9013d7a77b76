/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Holds nb_pool() against the same in parts of random sizes. */
#ifndef NB_TESTS_LIB_POOL_PARTS_H
#define NB_TESTS_LIB_POOL_PARTS_H

#include "quant/nibble.h"
#include "tests/lib/rng.h"

/* `whole` and `unseen` are what nb_pool() gave. Aborts the test if parts give
 * something else, or read elsewhere than they said. */
void pool_parts_check(const struct nb_rows *rows, const struct nb_pool *request,
                      const void *whole, uint64_t unseen, struct rng *rng);

#endif
