/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Searches applied to one row, for tests. */
#ifndef NB_TESTS_LIB_SEARCH_ROWS_H
#define NB_TESTS_LIB_SEARCH_ROWS_H

#include "quant/search/affine.h"
#include "quant/search/search.h"

/* Scale and bias that a search chooses. Fails the test if there is none. */
struct affine search_row(const char *name, const float *x, uint32_t dim,
                         uint32_t scales);

/* Squared error of a row encoded, decoded and compared through the library. */
double search_row_error(const char *name, const float *x, uint32_t dim,
                        uint32_t scales);

/* Squared error with a scale and bias, in double, nearest codes. */
double search_line_error(const float *x, uint32_t dim, double scale,
                         double bias);

#endif
