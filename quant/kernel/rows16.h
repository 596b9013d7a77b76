/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Sixteen rows at a time, a row a lane, for the encoders of trained codecs.
 * Loops over lanes are plain C: compilers make vectors of them, and as no lane
 * looks at another, results are the same bits whatever the vectors' width.
 */
#ifndef NB_QUANT_ROWS16_H
#define NB_QUANT_ROWS16_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "quant/codec/numbers.h"
#include "quant/half.h"

#define LANES        16
#define LANES_INLINE static inline __attribute__((always_inline))

/* Columns that stand transposed at a time. */
#define SPAN 512

/* Aligned as a whole: of over-aligned elements gcc makes no vectors. */
struct lanes {
    float of[LANES];
} __attribute__((aligned(64)));

/* Differences from the row's middle, so that sums lose nothing to it, in units
 * of a power of two, which is exact: squares of very great or small ones would
 * not be fp32. */
struct rows16 {
    struct lanes x[SPAN]; /* of columns begin .. begin + n */
    struct lanes middle;
    struct lanes unit;
    struct lanes per_unit; /* 1 / unit */
    struct lanes least;    /* of all columns, less the middle, in units */
    struct lanes greatest;
    struct lanes sum;
    struct lanes deviation;
    const float *from;
    uint32_t dim;
    uint32_t begin;
    uint32_t n;
    size_t n_rows; /* lanes in use; the others repeat the last */
};

LANES_INLINE const float *rows16_row(const struct rows16 *rows, size_t lane)
{
    size_t row = lane < rows->n_rows ? lane : rows->n_rows - 1;
    return rows->from + row * rows->dim;
}

/* Transposes the columns from `begin` on, unless they stand there. */
static inline void rows16_load(struct rows16 *rows, uint32_t begin)
{
    if (rows->n != 0 && rows->begin == begin) {
        return;
    }
    rows->begin = begin;
    rows->n = rows->dim - begin < SPAN ? rows->dim - begin : SPAN;
    for (size_t l = 0; l < LANES; l++) {
        const float *x = rows16_row(rows, l) + begin;
        for (uint32_t j = 0; j < rows->n; j++) {
            rows->x[j].of[l] =
                (x[j] - rows->middle.of[l]) * rows->per_unit.of[l];
        }
    }
}

/* Rows within these have a unit of 1: errors and sums of squares are normal. */
#define UNIT_LEAST    0x1p-30f
#define UNIT_GREATEST 0x1p50f

LANES_INLINE void rows16_unit(struct rows16 *rows, size_t lane, float greatest)
{
    uint32_t exponent = float_bits(greatest) >> 23;
    exponent = exponent < 1 ? 1 : exponent > 253 ? 253 : exponent;
    if (greatest == 0 ||
        (greatest >= UNIT_LEAST && greatest <= UNIT_GREATEST)) {
        exponent = 127;
    }
    rows->unit.of[lane] = float_from_bits(exponent << 23);
    rows->per_unit.of[lane] = float_from_bits((254 - exponent) << 23);
}

LANES_INLINE void rows16_span(struct rows16 *rows)
{
    for (size_t l = 0; l < LANES; l++) {
        const float *x = rows16_row(rows, l);
        float least = x[0];
        float greatest = x[0];
        for (uint32_t j = 1; j < rows->dim; j++) {
            least = x[j] < least ? x[j] : least;
            greatest = x[j] > greatest ? x[j] : greatest;
        }
        rows->middle.of[l] = least / 2 + greatest / 2;
        least -= rows->middle.of[l];
        greatest -= rows->middle.of[l];
        rows16_unit(rows, l, greatest);
        rows->least.of[l] = least * rows->per_unit.of[l];
        rows->greatest.of[l] = greatest * rows->per_unit.of[l];
    }
}

/* n <= LANES rows of dim values, one after the other, as they are. */
LANES_INLINE void rows16_plain(struct rows16 *rows, const float *x, size_t n,
                               uint32_t dim)
{
    rows->from = x;
    rows->dim = dim;
    rows->n_rows = n;
    rows->n = 0;
    memset(&rows->middle, 0, sizeof(rows->middle));
    for (size_t l = 0; l < LANES; l++) {
        rows->unit.of[l] = 1;
        rows->per_unit.of[l] = 1;
    }
}

/* As rows16_plain(), less the middles, and with what is said of all columns. */
LANES_INLINE void rows16_init(struct rows16 *rows, const float *x, size_t n,
                              uint32_t dim)
{
    struct lanes square = {{0}};
    struct lanes sum = {{0}};

    rows16_plain(rows, x, n, dim);
    rows16_span(rows);
    for (uint32_t begin = 0; begin < dim; begin += SPAN) {
        rows16_load(rows, begin);
        for (uint32_t j = 0; j < rows->n; j++) {
            for (size_t l = 0; l < LANES; l++) {
                float value = rows->x[j].of[l];
                sum.of[l] += value;
                square.of[l] += value * value;
            }
        }
    }
    for (size_t l = 0; l < LANES; l++) {
        float mean = sum.of[l] / (float)dim;
        float variance = square.of[l] / (float)dim - mean * mean;
        rows->deviation.of[l] = variance > 0 ? sqrtf(variance) : 0;
    }
    rows->sum = sum;
}

/* scale x level + bias, of each lane, in its units; the bias is relative to the
 * middle. */
struct line16 {
    struct lanes scale;
    struct lanes bias;
};

LANES_INLINE float line16_scale(const struct line16 *line,
                                const struct rows16 *rows, size_t lane)
{
    return line->scale.of[lane] * rows->unit.of[lane];
}

LANES_INLINE float line16_bias(const struct line16 *line,
                               const struct rows16 *rows, size_t lane)
{
    return line->bias.of[lane] * rows->unit.of[lane] + rows->middle.of[lane];
}

/* The scale and bias that a row has in the end. */
LANES_INLINE void line16_set(struct line16 *line, const struct rows16 *rows,
                             size_t lane, float scale, float bias)
{
    float per_unit = rows->per_unit.of[lane];
    line->scale.of[lane] = scale * per_unit;
    line->bias.of[lane] = (bias - rows->middle.of[lane]) * per_unit;
}

/* The line for levels of rows of mean 0 and deviation 1, `part` as wide. */
LANES_INLINE void line16_of_moments(const struct rows16 *rows, float part,
                                    struct line16 *line)
{
    for (size_t l = 0; l < LANES; l++) {
        line->scale.of[l] = rows->deviation.of[l] * part;
        line->bias.of[l] = rows->sum.of[l] / (float)rows->dim;
    }
}

/* What one pass over the columns adds up, of the levels v that they take. */
struct sums16 {
    struct lanes v;
    struct lanes vv;
    struct lanes vx;
};

/* The line of least squares for the levels of a pass, where there is one with
 * a positive scale; others stay as they are. */
LANES_INLINE void line16_refit(struct line16 *line, const struct rows16 *rows,
                               const struct sums16 *sums)
{
    float n = (float)rows->dim;

    for (size_t l = 0; l < LANES; l++) {
        float v = sums->v.of[l];
        float det = n * sums->vv.of[l] - v * v;
        float scale = (n * sums->vx.of[l] - v * rows->sum.of[l]) / det;
        float bias = (rows->sum.of[l] - scale * v) / n;
        int good = det > 0 && scale > 0 && scale < 0x1p120f;
        line->scale.of[l] = good ? scale : line->scale.of[l];
        line->bias.of[l] = good ? bias : line->bias.of[l];
    }
}

LANES_INLINE void lanes_choose(struct lanes *to, const struct lanes *from,
                               const struct lanes *better,
                               const struct lanes *worse)
{
    for (size_t l = 0; l < LANES; l++) {
        to->of[l] = better->of[l] < worse->of[l] ? from->of[l] : to->of[l];
    }
}

#endif
