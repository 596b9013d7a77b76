/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Holds a kernel against the scalar one of its op, bit for bit, over dims,
 * scale types, result types, alignments, bag sizes and odd floats. Needs
 * nothing but libc, so that it also runs under an emulator.
 */
#ifndef NB_TESTS_LIB_KERNEL_CHECKS_H
#define NB_TESTS_LIB_KERNEL_CHECKS_H

#include <stdint.h>

#include "quant/kernel/kernels.h"

/* Seed of the run: NB_TEST_SEED, or a constant. Prints it once. */
uint64_t kernel_checks_seed(void);

/* Whether the kernel's instruction set is in use here. */
bool kernel_checks_supported(const struct kernel *kernel);

/* 0, or -1 with what differed in *err. */
int kernel_checks_run(const struct kernel *kernel, uint64_t seed,
                      struct nb_errctx *err);

/* A kernel is run with each of `step` dims, from the `first` on. Under
 * sanitizers, which take ten times as long, with a third of the dims; which one
 * depends on the kernel. A scalar one, whose results there is nothing to
 * compare with, only for what it touches: with fewer still. */
struct dim_steps {
    size_t first;
    size_t step;
};
struct dim_steps kernel_checks_steps(const struct kernel *kernel);

#endif
