/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * In the plane of scale s and bias b the lines b = v_i - s (k + 1/2) are where
 * the value v_i changes from code k to k + 1 as b sinks. Between them all codes
 * are fixed, and so is the least squares fit: the optimum is the best fit of
 * all cells. At one s the lines stand in an order, and the cells are the gaps.
 * As s grows, neighbours change places, each swap ending one cell and opening
 * one: the line (i, k) passes (j, k + D), v_i < v_j, at s = (v_j - v_i) / D.
 *
 * Values are put on a grid of 2^40 steps, those that fall together joined, so
 * that places and sums are integers and crossings are ordered without rounding.
 * Crossings at one s are taken by (i, j): lines that meet in one point then
 * pass each other in an order where each two are neighbours when their turn
 * comes.
 *
 * Which s: the extremes of the row, coded kmin and kmax, lose at least
 * (range - s (kmax - kmin))^2 / 2, at most 15 steps lie between, and fewer than
 * 8 need not, since the same values are had with half the scale and codes
 * doubled. So s is within (range -+ sqrt(2 loss)) / 15 and / 8.
 */
#include "quant/search/sweep.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>

#include "quant/search/minmax.h"

#define STEPS      15 /* of the code: 0..15 */
#define LEAST_SPAN 8
#define GRID       0x1p40
#define MAX_LINES  (SWEEP_DIM_MAX * STEPS)
#define MAX_PAIRS  (SWEEP_DIM_MAX * (SWEEP_DIM_MAX - 1) / 2)
#define RADIX      INT64_C(32) /* of points in pairs */
#define PAIR_RADIX (RADIX * RADIX)
#define LINE_RADIX INT64_C(512)

_Static_assert(SWEEP_DIM_MAX <= RADIX && MAX_LINES <= (int)LINE_RADIX,
               "numbers of points and lines fit their radix");

/* Sums over the row, with the codes of one cell. */
struct cell {
    int64_t k;
    int64_t k2;
    int64_t kv;
};

struct sweep {
    int n;                    /* values of the row */
    int n_points;             /* of them different */
    int64_t v[SWEEP_DIM_MAX]; /* ascending, from 0 */
    int64_t count[SWEEP_DIM_MAX];
    int64_t total;       /* sum of the values */
    int64_t first_scale; /* swept from here */
    int64_t last_scale;
    /* The lines at the scale of the moment, the upper first, numbered
     * k * n_points + i; where each stands; the cell above each and below the
     * last. */
    uint16_t line[MAX_LINES];
    uint16_t place[MAX_LINES];
    struct cell cell[MAX_LINES + 1];
    /* (v_j - v_i, i, j) as one number, ascending. */
    int64_t pair[MAX_PAIRS];
    int n_pairs;
    /* The best fit: error removed is moment^2 / (n * spread). */
    struct cell best;
    double best_moment;
    double best_spread;
};

/* Shell sort: few elements, no memory. */
static void sort(int64_t *keys, int n)
{
    static const int gaps[] = {701, 301, 132, 57, 23, 10, 4, 1};
    for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
        int gap = gaps[g];
        for (int i = gap; i < n; i++) {
            int64_t key = keys[i];
            int at = i;
            for (; at >= gap && keys[at - gap] > key; at -= gap) {
                keys[at] = keys[at - gap];
            }
            keys[at] = key;
        }
    }
}

static void put_points(struct sweep *sweep, const float *x, size_t dim,
                       double min, double unit)
{
    int64_t v[SWEEP_DIM_MAX];
    for (size_t i = 0; i < dim; i++) {
        v[i] = (int64_t)(((double)x[i] - min) * unit + 0.5);
        sweep->total += v[i];
    }
    sort(v, (int)dim);
    for (size_t i = 0; i < dim; i++) {
        if (i == 0 || v[i] != v[i - 1]) {
            sweep->v[sweep->n_points] = v[i];
            sweep->count[sweep->n_points] = 0;
            sweep->n_points++;
        }
        sweep->count[sweep->n_points - 1]++;
    }
    sweep->n = (int)dim;
}

static void try_cell(struct sweep *sweep, const struct cell *cell)
{
    double moment = (double)(sweep->n * cell->kv - cell->k * sweep->total);
    double spread = (double)(sweep->n * cell->k2 - cell->k * cell->k);
    if (moment * moment * sweep->best_spread >
        sweep->best_moment * sweep->best_moment * spread) {
        sweep->best = *cell;
        sweep->best_moment = moment;
        sweep->best_spread = spread;
    }
}

/* Puts a line at a place: the cell below is that above with one code raised. */
static void put_line(struct sweep *sweep, int place, int line)
{
    int i = line % sweep->n_points;
    int k = line / sweep->n_points;
    const struct cell *above = &sweep->cell[place];
    struct cell *below = &sweep->cell[place + 1];
    below->k = above->k + sweep->count[i];
    below->k2 = above->k2 + sweep->count[i] * (2 * k + 1);
    below->kv = above->kv + sweep->count[i] * sweep->v[i];
    sweep->line[place] = (uint16_t)line;
    sweep->place[line] = (uint16_t)place;
    try_cell(sweep, below);
}

/* Lines in their order just after the first scale: of those that meet there
 * the one of the lower code, which sinks slower, is above. */
static void put_lines(struct sweep *sweep)
{
    int64_t keys[MAX_LINES];
    int n = sweep->n_points * STEPS;
    for (int line = 0; line < n; line++) {
        int64_t sunk = sweep->first_scale * (2 * (line / sweep->n_points) + 1);
        int64_t height = 2 * sweep->v[line % sweep->n_points] - sunk;
        keys[line] = -height * LINE_RADIX + line;
    }
    sort(keys, n);
    sweep->cell[0] = (struct cell){0};
    for (int place = 0; place < n; place++) {
        put_line(sweep, place, (int)(keys[place] & (LINE_RADIX - 1)));
    }
}

static void put_pairs(struct sweep *sweep)
{
    for (int i = 0; i < sweep->n_points; i++) {
        for (int j = i + 1; j < sweep->n_points; j++) {
            int64_t apart = sweep->v[j] - sweep->v[i];
            sweep->pair[sweep->n_pairs++] = apart * PAIR_RADIX + i * RADIX + j;
        }
    }
    sort(sweep->pair, sweep->n_pairs);
}

/* The pair's lines of codes k and k + apart pass, for every k. */
static void swap_lines(struct sweep *sweep, int64_t pair, int apart)
{
    int i = (int)(pair / RADIX % RADIX);
    int j = (int)(pair % RADIX);
    for (int k = 0; k + apart < STEPS; k++) {
        int lower = k * sweep->n_points + i;
        int upper = (k + apart) * sweep->n_points + j;
        int place = sweep->place[upper];
        assert(sweep->place[lower] == place + 1);
        put_line(sweep, place, lower);
        sweep->line[place + 1] = (uint16_t)upper;
        sweep->place[upper] = (uint16_t)(place + 1);
    }
}

/* The crossings of lines whose codes are `apart` apart. */
struct stream {
    int next;     /* index of the pair */
    double scale; /* where it crosses; infinite past the last scale */
};

/* Differences below 2^40 over at most 14: the quotients of unlike ones round
 * to unlike doubles, those of like ones to the same. */
static void set_scale(const struct sweep *sweep, struct stream *stream,
                      int apart)
{
    stream->scale = HUGE_VAL;
    if (stream->next < sweep->n_pairs) {
        int64_t difference = sweep->pair[stream->next] / PAIR_RADIX;
        if (difference <= sweep->last_scale * apart) {
            stream->scale = (double)difference / apart;
        }
    }
}

static void start_stream(const struct sweep *sweep, struct stream *stream,
                         int apart)
{
    int64_t passed = sweep->first_scale * apart;
    int lo = 0;
    int hi = sweep->n_pairs;
    while (lo < hi) {
        int middle = (lo + hi) / 2;
        if (sweep->pair[middle] / PAIR_RADIX <= passed) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    stream->next = lo;
    set_scale(sweep, stream, apart);
}

static void merge_streams(struct sweep *sweep)
{
    struct stream streams[STEPS];
    for (int apart = 1; apart < STEPS; apart++) {
        start_stream(sweep, &streams[apart], apart);
    }
    for (;;) {
        int first = 1;
        for (int apart = 2; apart < STEPS; apart++) {
            if (streams[apart].scale < streams[first].scale ||
                (streams[apart].scale == streams[first].scale &&
                 streams[apart].scale < HUGE_VAL &&
                 sweep->pair[streams[apart].next] % PAIR_RADIX <
                     sweep->pair[streams[first].next] % PAIR_RADIX)) {
                first = apart;
            }
        }
        if (streams[first].scale == HUGE_VAL) {
            break;
        }
        swap_lines(sweep, sweep->pair[streams[first].next], first);
        streams[first].next++;
        set_scale(sweep, &streams[first], first);
    }
}

struct line sweep_row(const float *x, size_t dim, double loss)
{
    struct sweep sweep = {.best_spread = 1};
    struct minmax range = row_minmax(x, dim);
    double width = (double)range.max - (double)range.min;
    double unit = GRID / width;
    put_points(&sweep, x, dim, (double)range.min, unit);

    /* Wider by a thousandth part than needed, for rounding. */
    double slack = sqrt(2 * loss) * unit * 1.001 + 1;
    sweep.first_scale = (int64_t)fmax((GRID - slack) / STEPS, 0);
    sweep.last_scale = (int64_t)((GRID + slack) / LEAST_SPAN);
    put_pairs(&sweep);
    put_lines(&sweep);
    merge_streams(&sweep);

    double scale = sweep.best_moment / sweep.best_spread;
    double bias =
        ((double)sweep.total - scale * (double)sweep.best.k) / (double)dim;
    return (struct line){.scale = scale / unit,
                         .bias = (double)range.min + bias / unit};
}
