/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Layout of a q4-kmeans2 row: codes as in q4.h, then 16 bits, the number of the
 * table's codebook the row takes, counted from 1. value = level[code]. A number
 * that is none stands for the last codebook.
 */
#ifndef NB_QUANT_Q4_KMEANS2_H
#define NB_QUANT_Q4_KMEANS2_H

#include "quant/bytes.h"
#include "quant/codec/q4.h"

#define Q4_KMEANS2_MAX_BOOKS 65535u

static inline uint32_t q4_kmeans2_book(const uint8_t *number, uint32_t n_books)
{
    uint32_t book = (uint16_t)(get_u16(number) - 1u);
    return book < n_books ? book : n_books - 1;
}

#endif
