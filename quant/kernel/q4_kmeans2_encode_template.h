/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Encodes q4-kmeans2 rows, sixteen at a time: each with the codebook that loses
 * least, of equal ones the first.
 * Parameter: ENCODE_NAME, the function's name.
 */
#include <stdbool.h>

#include "quant/codec/q4_kmeans2.h"
#include "quant/kernel/kernels.h"
#include "quant/kernel/rows16.h"

#define LEVELS 16

/* Columns between looks at whether a codebook can still be the best. */
#define STRIDE_COLUMNS 16

struct best {
    struct lanes error;
    struct lanes book; /* less than 2^16: exact */
};

LANES_INLINE void take_column(const float *restrict x,
                              const float *restrict level,
                              const float *restrict mid, float *restrict error)
{
    for (size_t l = 0; l < LANES; l++) {
        float v = level[0];
#pragma GCC unroll 15
        for (size_t i = 0; i + 1 < LEVELS; i++) {
            float next = level[i + 1]; /* not loaded conditionally */
            v = x[l] > mid[i] ? next : v;
        }
        error[l] += (x[l] - v) * (x[l] - v);
    }
}

LANES_INLINE bool any_less(const struct lanes *a, const struct lanes *b)
{
    unsigned any = 0;
    for (size_t l = 0; l < LANES; l++) {
        any |= a->of[l] < b->of[l];
    }
    return any != 0;
}

/* Errors only grow: a codebook that is worse in all rows is given up. */
static void try_span(const struct rows16 *rows, const float *level,
                     const float *mid, const struct best *best,
                     struct lanes *error)
{
    struct lanes sum = *error;
    for (uint32_t j = 0; j < rows->n; j++) {
        take_column(rows->x[j].of, level, mid, sum.of);
        if (j % STRIDE_COLUMNS == STRIDE_COLUMNS - 1 &&
            !any_less(&sum, &best->error)) {
            break;
        }
    }
    *error = sum;
}

static void levels_part(const float *level, float *mid)
{
    for (size_t i = 0; i + 1 < LEVELS; i++) {
        mid[i] = level[i] / 2 + level[i + 1] / 2;
    }
}

static void try_book(struct rows16 *rows, const float *level, uint32_t book,
                     struct best *best)
{
    float mid[LEVELS - 1];
    struct lanes error = {{0}};

    levels_part(level, mid);
    for (uint32_t begin = 0; begin < rows->dim; begin += SPAN) {
        rows16_load(rows, begin);
        try_span(rows, level, mid, best, &error);
        if (!any_less(&error, &best->error)) {
            return;
        }
    }
    for (size_t l = 0; l < LANES; l++) {
        bool less = error.of[l] < best->error.of[l];
        best->error.of[l] = less ? error.of[l] : best->error.of[l];
        best->book.of[l] = less ? (float)book : best->book.of[l];
    }
}

static void put_row(const float *x, uint32_t dim, const float *level,
                    uint32_t book, uint8_t *row)
{
    float mid[LEVELS - 1];

    levels_part(level, mid);
    for (uint32_t j = 0; j < dim; j += 2) {
        unsigned codes[2] = {0, 0};
        for (uint32_t k = 0; k < 2 && j + k < dim; k++) {
            for (size_t i = 0; i + 1 < LEVELS; i++) {
                codes[k] += x[j + k] > mid[i];
            }
        }
        row[j / 2] = (uint8_t)(codes[0] | codes[1] << 4);
    }
    put_u16(row + q4_code_bytes(dim), (uint16_t)(book + 1));
}

void ENCODE_NAME(const struct nb_format *format, const struct nb_params *params,
                 const float *x, size_t n_rows, uint8_t *rows, size_t stride)
{
    struct rows16 group;
    struct best best;
    uint32_t dim = format->dim;

    for (size_t done = 0; done < n_rows; done += LANES) {
        size_t n = n_rows - done < LANES ? n_rows - done : LANES;
        rows16_plain(&group, x + done * dim, n, dim);
        for (size_t l = 0; l < LANES; l++) {
            best.error.of[l] = INFINITY;
            best.book.of[l] = 0;
        }
        for (uint32_t k = 0; k < params->n_codebooks; k++) {
            try_book(&group, params->codebooks + (size_t)k * LEVELS, k, &best);
        }
        for (size_t l = 0; l < n; l++) {
            uint32_t book = (uint32_t)best.book.of[l];
            put_row(x + (done + l) * dim, dim,
                    params->codebooks + (size_t)book * LEVELS, book,
                    rows + (done + l) * stride);
        }
    }
}
