/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows that a request will ask for, before it is looked at. */
#ifndef NB_QUANT_ROW_PREFETCH_H
#define NB_QUANT_ROW_PREFETCH_H

#include "quant/nibble.h"

/* Has the processor fetch the rows of n ids of `id_bytes`, 4 or 8, each,
 * little-endian and of any alignment; nothing of an id that is in no row, nor
 * of rows that have keys, whose index would be asked first. */
void rows_prefetch(const struct nb_rows *rows, const uint8_t *ids, size_t n,
                   size_t id_bytes);

#endif
