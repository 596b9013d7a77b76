/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Holds an encoder of a trained codec against the scalar one, byte for byte,
 * over dims, scale types and distributions, rows alone and in groups. A part of
 * kernel_checks. */
#ifndef NB_TESTS_LIB_ENCODE_CHECKS_H
#define NB_TESTS_LIB_ENCODE_CHECKS_H

#include <stdint.h>

#include "quant/kernel/kernels.h"

/* 0, or -1 with what differed in *err. */
int encode_checks_run(const struct kernel *kernel, const struct kernel *scalar,
                      uint64_t seed, struct nb_errctx *err);

#endif
