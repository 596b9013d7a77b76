/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Encodes q4-trellis rows, sixteen at a time.
 * Parameter: ENCODE_NAME, the function's name.
 *
 * For a line scale x level + bias, the codes that lose least are found by
 * Viterbi's algorithm over the 8 states; the line is then fitted to them, for
 * some rounds, from some starts. Columns are taken in spans: at the end of one
 * the best path is settled, and the next goes on from where it ends.
 */
#include "quant/codec/q4_trellis.h"
#include "quant/kernel/kernels.h"
#include "quant/kernel/rows16.h"

#define STATES  8 /* bits u1 u2 u3, the first the lowest */
#define SUBSETS 4 /* 2 z1 + z0 */
#define LEVELS  8 /* of a subset */
#define STARTS  7
#define ROUNDS  4

/* Greater than any path's cost; the cost of states that cannot be. */
#define NEVER 0x1p100f

/* Levels of each subset, and where they part. */
struct levels {
    float level[SUBSETS][LEVELS];
    float mid[SUBSETS][LEVELS - 1];
};

/* Lanes of bits. */
struct bits16 {
    uint32_t of[LANES];
} __attribute__((aligned(64)));

/* A walk through the trellis, of one span. */
struct walk {
    struct lanes nearest[SPAN][SUBSETS]; /* levels */
    struct bits16 from[SPAN]; /* bit s: u3 of the state before state s */
    struct bits16 subset[SPAN];
    struct lanes cost[2][STATES];
    struct lanes inverse; /* of the scale */
    struct bits16 state;  /* where the path is */
};

struct choice {
    struct line16 line;
    struct lanes error;
};

static void levels_init(struct levels *levels, const float *from)
{
    for (size_t z = 0; z < SUBSETS; z++) {
        for (size_t n = 0; n < LEVELS; n++) {
            levels->level[z][n] = from[4 * n + z];
        }
        for (size_t n = 0; n + 1 < LEVELS; n++) {
            levels->mid[z][n] = from[4 * n + z] / 2 + from[4 * n + 4 + z] / 2;
        }
    }
}

/* Nearest level of a subset to each t, and the squared distance. */
LANES_INLINE void take_subset(const float *restrict t,
                              const float *restrict level,
                              const float *restrict mid,
                              float *restrict nearest, float *restrict distance)
{
    for (size_t l = 0; l < LANES; l++) {
        float v = level[0];
#pragma GCC unroll 7
        for (size_t n = 0; n + 1 < LEVELS; n++) {
            float next = level[n + 1]; /* not loaded conditionally */
            v = t[l] > mid[n] ? next : v;
        }
        nearest[l] = v;
        distance[l] = (t[l] - v) * (t[l] - v);
    }
}

/* The cheaper way into each state. State s = u + 2 u1 + 4 u2 comes from
 * s / 2 + 4 u3, through subset 2 (u ^ u1 ^ u3) + u2. */
LANES_INLINE void take_states(const struct lanes before[STATES],
                              const struct lanes distance[SUBSETS],
                              struct lanes *restrict after,
                              struct bits16 *restrict from)
{
    for (size_t l = 0; l < LANES; l++) {
        uint32_t bits = 0;
#pragma GCC unroll 8
        for (unsigned s = 0; s < STATES; s++) {
            unsigned z = ((s ^ s >> 1) & 1u) << 1 | s >> 2;
            float zero = before[s >> 1].of[l] + distance[z].of[l];
            float one = before[s >> 1 | 4].of[l] + distance[z ^ 2].of[l];
            bits |= one < zero ? 1u << s : 0u;
            after[s].of[l] = one < zero ? one : zero;
        }
        from->of[l] = bits;
    }
}

static void walk_columns(struct walk *walk, const struct rows16 *rows,
                         const struct levels *levels, const struct line16 *line)
{
    for (uint32_t j = 0; j < rows->n; j++) {
        struct lanes t;
        struct lanes distance[SUBSETS];
        const struct lanes *x = &rows->x[j];
        for (size_t l = 0; l < LANES; l++) {
            t.of[l] = (x->of[l] - line->bias.of[l]) * walk->inverse.of[l];
        }
#pragma GCC unroll 4
        for (size_t z = 0; z < SUBSETS; z++) {
            take_subset(t.of, levels->level[z], levels->mid[z],
                        walk->nearest[j][z].of, distance[z].of);
        }
        take_states(walk->cost[j % 2], distance, walk->cost[(j + 1) % 2],
                    &walk->from[j]);
    }
}

/* Leaves the cheapest state, and only it. */
static void settle(struct walk *walk, uint32_t n)
{
    const struct lanes *cost = walk->cost[n % 2];
    struct lanes least = cost[0];
    struct bits16 state = {{0}};

    for (uint32_t s = 1; s < STATES; s++) {
        for (size_t l = 0; l < LANES; l++) {
            state.of[l] = cost[s].of[l] < least.of[l] ? s : state.of[l];
            least.of[l] =
                cost[s].of[l] < least.of[l] ? cost[s].of[l] : least.of[l];
        }
    }
    walk->state = state;
}

static void begin_at(struct walk *walk, const struct bits16 *state)
{
    for (uint32_t s = 0; s < STATES; s++) {
        for (size_t l = 0; l < LANES; l++) {
            walk->cost[0][s].of[l] = state->of[l] == s ? 0 : NEVER;
        }
    }
}

/* From the end back to the begin of the span: the subset of each column. */
static void trace_back(struct walk *walk, uint32_t n)
{
    struct bits16 state = walk->state;

    for (uint32_t j = n; j-- > 0;) {
        const uint32_t *restrict from = walk->from[j].of;
        uint32_t *restrict subset = walk->subset[j].of;
        for (size_t l = 0; l < LANES; l++) {
            uint32_t s = state.of[l];
            uint32_t u3 = from[l] >> s & 1u;
            subset[l] = ((s ^ s >> 1 ^ u3) & 1u) << 1 | s >> 2;
            state.of[l] = s >> 1 | u3 << 2;
        }
    }
}

/* Levels of the path, added up, and its squared error. */
LANES_INLINE void add_column(const struct walk *walk, uint32_t j,
                             const float *restrict x, const struct line16 *line,
                             struct sums16 *restrict sums,
                             struct lanes *restrict error)
{
    const struct lanes *nearest = walk->nearest[j];
    const uint32_t *restrict subset = walk->subset[j].of;

    for (size_t l = 0; l < LANES; l++) {
        float v0 = nearest[0].of[l];
        float v1 = nearest[1].of[l];
        float v2 = nearest[2].of[l];
        float v3 = nearest[3].of[l];
        float even = subset[l] == 2 ? v2 : v0;
        float odd = subset[l] == 3 ? v3 : v1;
        float v = (subset[l] & 1u) != 0 ? odd : even;
        float e = x[l] - (line->scale.of[l] * v + line->bias.of[l]);
        sums->v.of[l] += v;
        sums->vv.of[l] += v * v;
        sums->vx.of[l] += v * x[l];
        error->of[l] += e * e;
    }
}

/* Writes the codes of a span: the u of a column is how its subset and those
 * before make it. */
static void put_codes(const struct walk *walk, const struct rows16 *rows,
                      const struct levels *levels, const struct line16 *line,
                      size_t lane, uint32_t *state, uint8_t *row)
{
    uint8_t codes[SPAN + 1] = {0};

    for (uint32_t j = 0; j < rows->n; j++) {
        uint32_t z = walk->subset[j].of[lane];
        uint32_t u = (z >> 1 ^ *state ^ *state >> 2) & 1u;
        float t = (rows->x[j].of[lane] - line->bias.of[lane]) *
                  walk->inverse.of[lane];
        uint32_t n = 0;
        for (size_t i = 0; i + 1 < LEVELS; i++) {
            n += t > levels->mid[z][i];
        }
        codes[j] = (uint8_t)(n << 1 | u);
        *state = (*state << 1 | u) & 7u;
    }
    codes[rows->n] = 0;
    for (uint32_t j = 0; j < rows->n; j += 2) {
        row[(rows->begin + j) / 2] = (uint8_t)(codes[j] | codes[j + 1] << 4);
    }
}

/* Where codes go; NULL if none are asked for. */
struct output {
    uint8_t *rows;
    size_t stride;
};

static void walk_rows(struct walk *walk, struct rows16 *rows,
                      const struct levels *levels, const struct line16 *line,
                      const struct output *output, struct sums16 *sums,
                      struct lanes *error)
{
    struct sums16 sum = {{{0}}, {{0}}, {{0}}};
    struct lanes squares = {{0}};
    struct bits16 state = {{0}};

    for (size_t l = 0; l < LANES; l++) {
        walk->inverse.of[l] = 1 / line->scale.of[l];
    }
    for (uint32_t begin = 0; begin < rows->dim; begin += SPAN) {
        rows16_load(rows, begin);
        begin_at(walk, &state);
        walk_columns(walk, rows, levels, line);
        settle(walk, rows->n);
        trace_back(walk, rows->n);
        for (uint32_t j = 0; j < rows->n; j++) {
            add_column(walk, j, rows->x[j].of, line, &sum, &squares);
        }
        for (size_t l = 0; output != NULL && l < rows->n_rows; l++) {
            put_codes(walk, rows, levels, line, l, &state.of[l],
                      output->rows + l * output->stride);
        }
        state = walk->state;
    }
    *sums = sum;
    *error = squares;
}

static void keep_better(const struct line16 *line, const struct lanes *error,
                        struct choice *best)
{
    lanes_choose(&best->line.scale, &line->scale, error, &best->error);
    lanes_choose(&best->line.bias, &line->bias, error, &best->error);
    lanes_choose(&best->error, error, error, &best->error);
}

/* Numbers of the scale type. */
static void store_line(const struct rows16 *rows, uint32_t scales,
                       struct line16 *line)
{
    float limit = scales == NB_SCALES_FP16 ? 65504.0f : 0x1p126f;

    for (size_t l = 0; l < LANES; l++) {
        float scale = line16_scale(line, rows, l);
        float bias = line16_bias(line, rows, l);
        scale = scale < limit ? scale : limit;
        bias = bias < limit ? bias : limit;
        bias = bias > -limit ? bias : -limit;
        line16_set(line, rows, l, number_round(scale, scales),
                   number_round(bias, scales));
    }
}

/* Lines are compared as they would be stored. */
static void choose_lines(struct walk *walk, struct rows16 *rows,
                         uint32_t scales, const struct levels *levels,
                         struct line16 *chosen)
{
    static const float parts[STARTS] = {1,     0.88f, 1.12f, 0.78f,
                                        0.95f, 1.06f, 0.83f};
    struct choice best;

    line16_of_moments(rows, 1, &best.line);
    store_line(rows, scales, &best.line);
    for (size_t l = 0; l < LANES; l++) {
        best.error.of[l] = INFINITY;
    }
    for (size_t i = 0; i < STARTS; i++) {
        struct line16 line;
        line16_of_moments(rows, parts[i], &line);
        for (size_t r = 0; r < ROUNDS; r++) {
            struct sums16 sums;
            struct lanes error;
            store_line(rows, scales, &line);
            walk_rows(walk, rows, levels, &line, NULL, &sums, &error);
            keep_better(&line, &error, &best);
            line16_refit(&line, rows, &sums);
        }
    }
    *chosen = best.line;
}

void ENCODE_NAME(const struct nb_format *format, const struct nb_params *params,
                 const float *x, size_t n_rows, uint8_t *rows, size_t stride)
{
    struct levels levels;
    struct rows16 group;
    struct walk walk;

    levels_init(&levels, params->codebooks);
    for (size_t done = 0; done < n_rows; done += LANES) {
        size_t n = n_rows - done < LANES ? n_rows - done : LANES;
        struct output output = {rows + done * stride, stride};
        struct line16 line;
        struct sums16 sums;
        struct lanes error;
        rows16_init(&group, x + done * format->dim, n, format->dim);
        choose_lines(&walk, &group, format->scales, &levels, &line);
        walk_rows(&walk, &group, &levels, &line, &output, &sums, &error);
        for (size_t l = 0; l < n; l++) {
            uint8_t *numbers =
                output.rows + l * stride + q4_code_bytes(format->dim);
            number_put(numbers, format->scales, 0,
                       line16_scale(&line, &group, l));
            number_put(numbers, format->scales, 1,
                       line16_bias(&line, &group, l));
        }
    }
}
