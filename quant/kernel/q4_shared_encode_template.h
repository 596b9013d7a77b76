/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Encodes q4-shared rows, sixteen at a time, each with every codebook.
 * Parameter: ENCODE_NAME, the function's name.
 *
 * From several lines scale x level + bias, some of the row's range and some of
 * its moments, nearest levels and least squares take turns; the best of all
 * lines met goes on for more rounds. What is compared at the end is the error
 * with the numbers as they are stored.
 */
#include "quant/codec/q4_shared.h"
#include "quant/kernel/kernels.h"
#include "quant/kernel/rows16.h"

#define LEVELS       16
#define START_ROUNDS 5
#define LAST_ROUNDS  8

/* A codebook, and where its levels part. */
struct book {
    float level[LEVELS];
    float mid[LEVELS - 1];
};

/* Rows as they will be stored. */
struct choice {
    struct line16 line;
    struct lanes error;
    struct lanes book;
};

static void book_init(struct book *book, const float *levels)
{
    for (size_t i = 0; i < LEVELS; i++) {
        book->level[i] = levels[i];
    }
    for (size_t i = 0; i + 1 < LEVELS; i++) {
        book->mid[i] = levels[i] / 2 + levels[i + 1] / 2;
    }
}

/* What a pass over the columns goes by, and what it adds up. */
struct pass {
    struct line16 line;
    struct lanes inverse; /* of the scale */
    struct sums16 sums;
    struct lanes error;
};

LANES_INLINE void take_column(const float *restrict x,
                              const float *restrict level,
                              const float *restrict mid,
                              struct pass *restrict pass)
{
    for (size_t l = 0; l < LANES; l++) {
        float t = (x[l] - pass->line.bias.of[l]) * pass->inverse.of[l];
        float v = level[0];
#pragma GCC unroll 15
        for (size_t i = 0; i + 1 < LEVELS; i++) {
            float next = level[i + 1]; /* not loaded conditionally */
            v = t > mid[i] ? next : v;
        }
        float e = x[l] - (pass->line.scale.of[l] * v + pass->line.bias.of[l]);
        pass->sums.v.of[l] += v;
        pass->sums.vv.of[l] += v * v;
        pass->sums.vx.of[l] += v * x[l];
        pass->error.of[l] += e * e;
    }
}

/* Each column takes its nearest level: sums of these, and the squared error. */
static void take_levels(struct rows16 *rows, const struct book *book,
                        const struct line16 *line, struct sums16 *sums,
                        struct lanes *error)
{
    struct pass pass = {.line = *line};

    for (size_t l = 0; l < LANES; l++) {
        pass.inverse.of[l] = 1 / line->scale.of[l];
    }
    for (uint32_t begin = 0; begin < rows->dim; begin += SPAN) {
        rows16_load(rows, begin);
        for (uint32_t j = 0; j < rows->n; j++) {
            take_column(rows->x[j].of, book->level, book->mid, &pass);
        }
    }
    *sums = pass.sums;
    *error = pass.error;
}

/* Takes up the lines that are better than the best so far. */
static void keep_better(const struct line16 *line, const struct lanes *error,
                        struct line16 *best, struct lanes *least)
{
    lanes_choose(&best->scale, &line->scale, error, least);
    lanes_choose(&best->bias, &line->bias, error, least);
    lanes_choose(least, error, error, least);
}

static void run_rounds(struct rows16 *rows, const struct book *book,
                       const struct line16 *start, unsigned rounds,
                       struct line16 *best, struct lanes *least)
{
    struct line16 line = *start;

    for (unsigned r = 0; r < rounds; r++) {
        struct sums16 sums;
        struct lanes error;
        take_levels(rows, book, &line, &sums, &error);
        keep_better(&line, &error, best, least);
        line16_refit(&line, rows, &sums);
    }
}

/* The levels over a part of the row's range, about its middle. */
static void start_at_range(const struct rows16 *rows, const struct book *book,
                           float part, struct line16 *line)
{
    float width = book->level[LEVELS - 1] - book->level[0];
    float middle = book->level[LEVELS - 1] / 2 + book->level[0] / 2;

    for (size_t l = 0; l < LANES; l++) {
        float range = rows->greatest.of[l] - rows->least.of[l];
        line->scale.of[l] = range * part / width;
        line->bias.of[l] = -line->scale.of[l] * middle;
    }
}

/* Makes numbers of the scale type of a line, room for the book's left. */
static void store_line(const struct rows16 *rows, uint32_t scales, bool books,
                       struct line16 *line)
{
    float limit = scales == NB_SCALES_FP16 ? 65504.0f : 0x1p126f;

    for (size_t l = 0; l < LANES; l++) {
        float scale = line16_scale(line, rows, l);
        float bias = line16_bias(line, rows, l);
        scale = scale < limit ? scale : limit;
        bias = bias < limit ? bias : limit;
        bias = bias > -limit ? bias : -limit;
        scale = books ? q4_shared_float_of_bits(
                            q4_shared_bits_of_scale(scale, scales), scales)
                      : number_round(scale, scales);
        line16_set(line, rows, l, scale, number_round(bias, scales));
    }
}

/* Where there are more codebooks to fit, each may fit less well. */
static void fit_book(struct rows16 *rows, const struct book *book,
                     bool one_of_many, struct line16 *best)
{
    static const float parts[] = {1, 0.85f, 0.7f, 0.58f};
    static const float deviations[] = {1, 0.9f, 1.1f, 0.8f};
    struct lanes least;
    struct line16 line;

    for (size_t l = 0; l < LANES; l++) {
        least.of[l] = INFINITY;
    }
    start_at_range(rows, book, 1, best);
    for (size_t i = 0; i < (one_of_many ? 2 : 4); i++) {
        start_at_range(rows, book, parts[i], &line);
        run_rounds(rows, book, &line, START_ROUNDS, best, &least);
        line16_of_moments(rows, deviations[i], &line);
        run_rounds(rows, book, &line, START_ROUNDS, best, &least);
    }
    run_rounds(rows, book, best, LAST_ROUNDS, best, &least);
}

static void choose_rows(struct rows16 *rows, const struct nb_format *format,
                        const struct book *books, uint32_t n_books,
                        struct choice *choice)
{
    for (uint32_t k = 0; k < n_books; k++) {
        struct line16 line;
        struct lanes book;
        struct lanes error;
        struct sums16 sums;
        fit_book(rows, &books[k], n_books > 1, &line);
        store_line(rows, format->scales, n_books > 1, &line);
        take_levels(rows, &books[k], &line, &sums, &error);
        for (size_t l = 0; l < LANES; l++) {
            book.of[l] = (float)k;
        }
        if (k == 0) {
            *choice = (struct choice){line, error, book};
        } else {
            lanes_choose(&choice->book, &book, &error, &choice->error);
            keep_better(&line, &error, &choice->line, &choice->error);
        }
    }
}

static void put_row(const struct rows16 *rows, size_t lane,
                    const struct nb_format *format, const struct book *book,
                    const struct choice *choice, uint8_t *row)
{
    const float *x = rows16_row(rows, lane);
    float middle = rows->middle.of[lane];
    float per_unit = rows->per_unit.of[lane];
    float bias = choice->line.bias.of[lane];
    float inverse = 1 / choice->line.scale.of[lane];
    uint8_t codes[SPAN];

    for (uint32_t begin = 0; begin < rows->dim; begin += SPAN) {
        uint32_t n = rows->dim - begin < SPAN ? rows->dim - begin : SPAN;
        for (uint32_t j = 0; j < n; j++) {
            float value = (x[begin + j] - middle) * per_unit;
            float t = (value - bias) * inverse;
            unsigned code = 0;
#pragma GCC unroll 15
            for (size_t i = 0; i + 1 < LEVELS; i++) {
                code += t > book->mid[i];
            }
            codes[j] = (uint8_t)code;
        }
        for (uint32_t j = 0; j < n; j += 2) {
            unsigned high = j + 1 < n ? codes[j + 1] : 0u;
            row[(begin + j) / 2] = (uint8_t)(codes[j] | high << 4);
        }
    }
    number_put(row + q4_code_bytes(format->dim), format->scales, 1,
               line16_bias(&choice->line, rows, lane));
}

static void put_scale(const struct nb_format *format, float scale,
                      uint32_t book, uint8_t *row)
{
    uint8_t *at = row + q4_code_bytes(format->dim);
    uint32_t bits = format->scales == NB_SCALES_FP16 ? half_from_float(scale)
                                                     : float_bits(scale);

    bits = q4_shared_with_book(bits, book, format->scales);
    if (format->scales == NB_SCALES_FP16) {
        put_u16(at, (uint16_t)bits);
    } else {
        put_u32(at, bits);
    }
}

void ENCODE_NAME(const struct nb_format *format, const struct nb_params *params,
                 const float *x, size_t n_rows, uint8_t *rows, size_t stride)
{
    struct book books[Q4_SHARED_BOOKS];
    struct rows16 group;
    struct choice choice;

    for (uint32_t k = 0; k < params->n_codebooks; k++) {
        book_init(&books[k], params->codebooks + (size_t)k * LEVELS);
    }
    for (size_t done = 0; done < n_rows; done += LANES) {
        size_t n = n_rows - done < LANES ? n_rows - done : LANES;
        rows16_init(&group, x + done * format->dim, n, format->dim);
        choose_rows(&group, format, books, params->n_codebooks, &choice);
        for (size_t l = 0; l < n; l++) {
            uint32_t book = (uint32_t)choice.book.of[l];
            uint8_t *row = rows + (done + l) * stride;
            put_row(&group, l, format, &books[book], &choice, row);
            put_scale(format, line16_scale(&choice.line, &group, l), book, row);
        }
    }
}
