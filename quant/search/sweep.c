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
 * Only cells that may hold the optimum are kept in order:
 *   - The extremes of the row, coded kmin and kmax, lose at least
 *     (range - s (kmax - kmin))^2 / 2. At most 15 steps lie between, and fewer
 *     than 8 need not, since the same values are had with half the scale and
 *     codes doubled. So s is within (range -+ sqrt(2 loss)) / 15 and / 8.
 *   - The least value, 0 on the grid, loses b^2 where b > 0: b <= sqrt(loss).
 *   - Codes from kmin on give the same values from 0 on, so the least value may
 *     be taken for code 0: the cell is above its first line, (0, 0).
 * All lines sink as s grows. They come in at the top, in which order need not
 * be known before, and go where they pass (0, 0).
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
#define OUT        UINT16_MAX

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
    int64_t top; /* twice the greatest bias of use */
    /* The lines, (i, k) as number k * n_points + i: places from the upper on,
     * or OUT; the cell above each place. */
    uint16_t place[MAX_LINES];
    struct cell cell[MAX_LINES + 1];
    int first; /* the uppermost place in use; those above are all out */
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

/* The codes below a line are those above it with one raised. */
static struct cell raise_code(const struct sweep *sweep, struct cell above,
                              int i, int k)
{
    int64_t count = sweep->count[i];
    return (struct cell){.k = above.k + count,
                         .k2 = above.k2 + count * (2 * k + 1),
                         .kv = above.kv + count * sweep->v[i]};
}

/* Twice the bias of a line at the first scale. */
static int64_t first_height(const struct sweep *sweep, int i, int k)
{
    return 2 * sweep->v[i] - sweep->first_scale * (2 * k + 1);
}

/* Orders lines as just after the first scale: of those that meet there the one
 * of the lower code, which sinks slower, is above. */
static void put_lines(struct sweep *sweep)
{
    int64_t keys[MAX_LINES];
    int n = 0;
    int64_t bottom = first_height(sweep, 0, 0);
    struct cell cell = {0};
    for (int k = 0; k < STEPS; k++) {
        for (int i = 0; i < sweep->n_points; i++) {
            int line = k * sweep->n_points + i;
            int64_t height = first_height(sweep, i, k);
            sweep->place[line] = OUT;
            if (height > sweep->top) {
                cell = raise_code(sweep, cell, i, k);
                sweep->first++;
            } else if (height > bottom || line == 0) {
                keys[n++] = -height * LINE_RADIX + line;
            }
        }
    }
    sort(keys, n);
    for (int at = 0; at < n; at++) {
        int line = (int)(keys[at] & (LINE_RADIX - 1));
        sweep->place[line] = (uint16_t)(sweep->first + at);
        sweep->cell[sweep->first + at] = cell;
        try_cell(sweep, &cell);
        cell = raise_code(sweep, cell, line % sweep->n_points,
                          line / sweep->n_points);
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

/* Line (i, k) comes in at the top, and the cell above it. */
static void let_in(struct sweep *sweep, int i, int k)
{
    const struct cell *below = &sweep->cell[sweep->first];
    struct cell *above = &sweep->cell[--sweep->first];
    int64_t count = sweep->count[i];
    *above = (struct cell){.k = below->k - count,
                           .k2 = below->k2 - count * (2 * k + 1),
                           .kv = below->kv - count * sweep->v[i]};
    try_cell(sweep, above);
    sweep->place[k * sweep->n_points + i] = (uint16_t)sweep->first;
}

/* Of a pair's lines whose codes are `apart` apart those in use pass. For the
 * others not to be asked, one by one: the bias is v_i - s (k + 1/2) where they
 * pass, and in use from the top down to -s / 2. */
static void swap_lines(struct sweep *sweep, int64_t pair, int apart,
                       double scale)
{
    int i = (int)(pair / RADIX % RADIX);
    int j = (int)(pair % RADIX);
    double inverse = 1 / scale;
    double most = (double)sweep->v[i] * inverse + 1;
    double least = (double)(2 * sweep->v[i] - sweep->top) / 2 * inverse - 1;
    int last = (int)fmin(most, STEPS - 1 - apart);
    for (int k = (int)fmin(fmax(least, 0), STEPS); k <= last; k++) {
        uint16_t *lower = &sweep->place[k * sweep->n_points + i];
        uint16_t *upper = &sweep->place[(k + apart) * sweep->n_points + j];
        if (*lower == OUT || *upper == OUT) {
            continue;
        }
        assert(*lower == *upper + 1);
        *lower = *upper;
        if (i == 0 && k == 0) {
            *upper = OUT;
            continue;
        }
        (*upper)++;
        struct cell *between = &sweep->cell[*upper];
        *between = raise_code(sweep, sweep->cell[*lower], i, k);
        try_cell(sweep, between);
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

/* The next line to come in: for each code the points do so in order. */
struct entry {
    int i[STEPS]; /* of code k */
    int k;
    double scale;
};

/* Where (i, k) sinks to the top: 2 v_i - s (2 k + 1) = top. Quotients compare
 * as those of crossings do. Of equal ones the slower line comes first: it was
 * below the other until there. */
static void find_entry(const struct sweep *sweep, struct entry *entry)
{
    entry->scale = HUGE_VAL;
    for (int k = 0; k < STEPS; k++) {
        if (entry->i[k] < sweep->n_points) {
            int64_t above = 2 * sweep->v[entry->i[k]] - sweep->top;
            double scale = (double)above / (2 * k + 1);
            if (scale < entry->scale) {
                entry->scale = scale;
                entry->k = k;
            }
        }
    }
}

static void start_entries(const struct sweep *sweep, struct entry *entry)
{
    for (int k = 0; k < STEPS; k++) {
        entry->i[k] = 0;
        while (entry->i[k] < sweep->n_points &&
               first_height(sweep, entry->i[k], k) <= sweep->top) {
            entry->i[k]++;
        }
    }
    find_entry(sweep, entry);
}

/* The stream whose crossing is next. */
static int next_crossing(const struct sweep *sweep,
                         const struct stream streams[STEPS])
{
    int next = 1;
    for (int apart = 2; apart < STEPS; apart++) {
        double scale = streams[apart].scale;
        if (scale < streams[next].scale ||
            (scale == streams[next].scale && scale < HUGE_VAL &&
             sweep->pair[streams[apart].next] % PAIR_RADIX <
                 sweep->pair[streams[next].next] % PAIR_RADIX)) {
            next = apart;
        }
    }
    return next;
}

static void sweep_lines(struct sweep *sweep)
{
    struct stream streams[STEPS];
    struct entry entry;
    for (int apart = 1; apart < STEPS; apart++) {
        start_stream(sweep, &streams[apart], apart);
    }
    start_entries(sweep, &entry);
    for (;;) {
        int apart = next_crossing(sweep, streams);
        struct stream *stream = &streams[apart];
        if (stream->scale == HUGE_VAL) {
            break;
        }
        while (entry.scale <= stream->scale) {
            let_in(sweep, entry.i[entry.k]++, entry.k);
            find_entry(sweep, &entry);
        }
        swap_lines(sweep, sweep->pair[stream->next], apart, stream->scale);
        stream->next++;
        set_scale(sweep, stream, apart);
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
    double slack = sqrt(loss) * unit * 1.001 + 1;
    double slack_2 = sqrt(2.0) * slack;
    sweep.first_scale = (int64_t)fmax((GRID - slack_2) / STEPS, 0);
    sweep.last_scale = (int64_t)((GRID + slack_2) / LEAST_SPAN);
    sweep.top = (int64_t)(2 * slack);
    put_pairs(&sweep);
    put_lines(&sweep);
    sweep_lines(&sweep);

    double scale = sweep.best_moment / sweep.best_spread;
    double bias =
        ((double)sweep.total - scale * (double)sweep.best.k) / (double)dim;
    return (struct line){.scale = scale / unit,
                         .bias = (double)range.min + bias / unit};
}
