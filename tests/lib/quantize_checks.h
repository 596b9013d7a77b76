/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Holds a kernel of the quantizer against the scalar one of its op, bit for
 * bit, over dims, scale types and distributions. A part of kernel_checks. */
#ifndef NB_TESTS_LIB_QUANTIZE_CHECKS_H
#define NB_TESTS_LIB_QUANTIZE_CHECKS_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/kernel/kernels.h"

/* Whether there are checks for the op here. */
bool quantize_checks_know(enum kernel_op op);

/* 0, or -1 with what differed in *err. */
int quantize_checks_run(const struct kernel *kernel,
                        const struct kernel *scalar, uint64_t seed,
                        struct nb_errctx *err);

#endif
