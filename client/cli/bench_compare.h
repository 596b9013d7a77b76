/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Two reports of nibble bench side by side. */
#ifndef NB_CLI_BENCH_COMPARE_H
#define NB_CLI_BENCH_COMPARE_H

#include <stdbool.h>

/* Prints what differs in how they were made, and the figures of both, step by
 * step. Returns an exit status. */
int bench_compare(const char *path_a, const char *path_b, bool json);

#endif
