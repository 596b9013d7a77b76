/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Protected rows in requests. In a sum such a row is followed by its residual
 * row; the value of the row is the sum of the two, in lookups and for max.
 */
#ifndef NB_QUANT_PROTECT_H
#define NB_QUANT_PROTECT_H

#include <stdbool.h>

#include "quant/kernel/kernels.h"
#include "quant/nibble.h"

/* Ids of a block: with their residual rows they fill a job. */
#define PROTECT_IDS (KERNEL_BLOCK / 2)

/* Whether the fields of rows->protect, if there are any, can be used. */
bool protect_good(const struct nb_rows *rows, size_t row_bytes);

/* Residual row of the row that stands at `at`; NULL if that has none. */
const uint8_t *protect_residual(const struct nb_rows *rows, const uint8_t *at);

/* The greatest of nb_pool() of rows with protected ones; arguments are good. */
int protect_max(const struct nb_rows *rows, const struct nb_pool *request,
                void *out, uint64_t *unseen);

#endif
