/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * What is compared with: pooling q4 rows by converting codes to floats, the way
 * the field's best known kernel does (int4, sum, prefetch 16). Per 64 codes a
 * widening load, a shift, an or and a mask to give each code its byte; per 16
 * of them a widening, a conversion, the addition of the bias and a fused
 * multiply-add; scale and bias converted row by row, a bounds check an id, one
 * prefetch per started 64 bytes of the row 16 ids ahead. Sums, 64-bit ids, fp16
 * scales, fp32 results; dims of 32, 64, 128 and 256.
 */
#ifndef NB_TESTS_BENCH_PORT_AVX512_H
#define NB_TESTS_BENCH_PORT_AVX512_H

#include <stdbool.h>

#include "quant/nibble.h"

/* False if an id is not in the table. */
bool port_pool(const struct nb_rows *rows, const struct nb_pool *request,
               float *out);

#endif
