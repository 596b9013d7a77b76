/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* "2", "0.25": digits with at most one point among them, and nothing else. */
#ifndef NB_BENCH_DECIMAL_H
#define NB_BENCH_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>

/* False if it is none, or has more than 18 digits. */
bool decimal_parse(const char *text, size_t n, double *value);

#endif
