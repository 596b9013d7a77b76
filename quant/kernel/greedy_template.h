/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The greedy search of LANES rows at a time, a row a lane.
 * Parameters: a lanes_<isa>.h included before.
 *
 * The search compares losses, 66 a row. They are estimated with few operations
 * an element, and where two estimates are too near to tell which loss is less,
 * the losses are computed as the specification does. The result is that of
 * nb_q4_greedy_scalar(), bit for bit.
 *
 * The bound. u = 2^-24, X the greatest |x| of a row, D its max - min, d its
 * dim. A row is walked here only if D >= X/64, D >= 2^-14 (fp16 scales) or
 * 2^-40 (fp32), and D < 2^50; any other is left to the scalar kernel. Then for
 * every range [lo, hi] met, hi - lo >= .83 D, the stored bias L is within .032
 * D of lo (X 2^-11 + 2^-25), and the stored scale s > 0 has 15 s <= 1.05 D. Let
 * r be the real distance of an x from the nearest of the 16 levels L + k s.
 *  - The specification's error of x is within u(7.8 D + 1.1 X) + 1.01 u r of r:
 *    its t = (x - L) / s is off by 3.01 u |t|, so that near a tie, where
 *    t <= 16, it may take a level 6.02 u 16 s <= 6.8 u D farther; k s is off by
 *    u 15 s <= 1.05 u D, the sum with L by u 1.1 X, the difference by u r.
 *  - The estimate's t = x i + c, i = 1/s within 2 u, c = -L i, is off by less
 *    than 3.1 u |t| + 1.01 u |L| / s, hence s |t - round(t)| is within
 *    u(3.2 D + 1.1 X) of r: it is the distance from the nearest integer of
 *    0..15, which moves no faster than t. t - round(t) is exact.
 * So each pair of errors differs by at most b = u(11 D + 2.2 X), the norms of
 * the two vectors by sqrt(d) b, and their sums, of d + 2 roundings at most, by
 * (d + 2) u in proportion each. With P the estimate of the squared loss l^2:
 *    |sqrt(P) - l| <= B + K sqrt(P),  B = 1.1 sqrt(d) b,  K = 1.1 (d + 4) u,
 * the tenths covering second-order terms and the rounding of the test itself.
 * If two losses are in another order than P1 >= P2, or equal, then with
 * S = sqrt(P1) + sqrt(P2), P1 - P2 <= (2 B + K S) S. As 2 B S <= a S^2 + B^2/a
 * and S^2 <= 2 (P1 + P2), for any a > 0:
 *    P1 - P2 <= 2 (a + K) (P1 + P2) + B^2 / a.
 * a = 2^-16 is near the optimum B / S of Gaussian rows.
 *
 * Values that no range met can clamp need no clamp in round(). An end moves by
 * 33 steps of D / 200 at most, and half a level is 5.2 steps at least: they are
 * 28.5 steps and the roundings of L and s (2^-9 X + 2^-20) from both ends.
 */
#ifndef NB_QUANT_GREEDY_TEMPLATE_H
#define NB_QUANT_GREEDY_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/kernel/kernels.h"
#include "quant/kernel/lanes_rows_template.h"
#include "quant/search/greedy.h"

/* Rows up to SHORT_DIM are walked LANES at a time, their columns side by side
 * in vectors. A longer row is walked by itself, in lane 0, and its estimates
 * take LANES of its values at a time. */
#define SHORT_DIM  256
#define MAX_VALUES (SHORT_DIM * LANES)

#define UNIT 0x1p-24f

/* A range: code of x about x * inverse + offset, squared loss
 * sq_scale * (sum of squared differences from the nearest code). */
struct range_lanes {
    lanes inverse;
    lanes offset;
    lanes sq_scale;
};

struct moves {
    struct range_lanes left;
    struct range_lanes right;
};

/* LANES rows on their way. */
struct walk {
    const float *rows[LANES];
    size_t n; /* rows that are wanted */
    size_t dim;
    uint32_t scales;

    struct ends now;
    struct ends best;
    lanes now_loss; /* estimates, squared */
    lanes best_loss;
    lanes step;
    lanes least_width;
    lanes_mask sane;   /* the bound holds */
    lanes_mask moving; /* not at the end yet */

    struct ends next; /* after the next step, either way */
    struct moves moves;

    lanes slack; /* B^2 / a */
    float ratio; /* 2 (a + K) */

    const float *x; /* columns, or the values of the one row */
    size_t n_outer; /* of these, in front, a range may clamp */
    _Alignas(64) float values[MAX_VALUES];
};

LANES_INLINE struct range_lanes range_of(lanes min, lanes max, uint32_t scales)
{
    lanes bias = lanes_store(min, scales);
    lanes scale =
        lanes_store((max - bias) / lanes_set(AFFINE_MAX_CODE), scales);
    lanes inverse = lanes_inverse(scale);
    return (struct range_lanes){inverse, -(bias * inverse), scale * scale};
}

LANES_INLINE void prepare_step(struct walk *walk)
{
    walk->next.min = walk->now.min + walk->step;
    walk->next.max = walk->now.max - walk->step;
    walk->moves.left = range_of(walk->next.min, walk->now.max, walk->scales);
    walk->moves.right = range_of(walk->now.min, walk->next.max, walk->scales);
}

/* ---- estimates ------------------------------------------------------- */

struct sums {
    lanes left;
    lanes right;
};

LANES_INLINE lanes code_error(lanes x, const struct range_lanes *range,
                              bool clamp)
{
    lanes t = lanes_fma(x, range->inverse, range->offset);
    if (!clamp) {
        return lanes_fraction(t);
    }
    lanes code = lanes_min(lanes_max(t, lanes_set(0)), lanes_set(15));
    return t - lanes_round(code);
}

LANES_INLINE void add_vector(const struct moves *moves, lanes x, bool clamp,
                             struct sums *sums)
{
    lanes left = code_error(x, &moves->left, clamp);
    lanes right = code_error(x, &moves->right, clamp);
    sums->left = lanes_fma(left, left, sums->left);
    sums->right = lanes_fma(right, right, sums->right);
}

LANES_INLINE void add_vectors(const struct moves *moves, const float *x,
                              size_t n, bool clamp, struct sums *sums)
{
    struct moves held = *moves; /* in registers */
    struct sums odd = {lanes_set(0), lanes_set(0)};
    size_t i = 0;
    for (; i + 2 <= n; i += 2, x += 2 * LANES) {
        add_vector(&held, lanes_load(x), clamp, sums);
        add_vector(&held, lanes_load(x + LANES), clamp, &odd);
    }
    if (i < n) {
        add_vector(&held, lanes_load(x), clamp, sums);
    }
    sums->left += odd.left;
    sums->right += odd.right;
}

LANES_INLINE struct sums sum_columns(const struct walk *walk)
{
    struct sums sums = {lanes_set(0), lanes_set(0)};
    size_t n = walk->n_outer;
    add_vectors(&walk->moves, walk->x, n, true, &sums);
    add_vectors(&walk->moves, walk->x + n * LANES, walk->dim - n, false, &sums);
    return sums;
}

LANES_INLINE lanes in_all(lanes first)
{
    return lanes_set(first[0]);
}

LANES_INLINE struct range_lanes range_in_all(struct range_lanes range)
{
    return (struct range_lanes){in_all(range.inverse), in_all(range.offset),
                                in_all(range.sq_scale)};
}

LANES_INLINE lanes sum_in_all(lanes v)
{
    float part[LANES];
    lanes_put(part, v);
    for (size_t half = LANES / 2; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) {
            part[i] += part[i + half];
        }
    }
    return lanes_set(part[0]);
}

LANES_INLINE struct sums sum_row(const struct walk *walk)
{
    struct moves moves = {range_in_all(walk->moves.left),
                          range_in_all(walk->moves.right)};
    struct sums sums = {lanes_set(0), lanes_set(0)};
    size_t n = walk->dim / LANES;
    size_t outer = (walk->n_outer + LANES - 1) / LANES;
    outer = outer < n ? outer : n;
    add_vectors(&moves, walk->x, outer, true, &sums);
    add_vectors(&moves, walk->x + outer * LANES, n - outer, false, &sums);

    size_t rest = walk->dim % LANES;
    if (rest != 0) {
        struct sums last = {lanes_set(0), lanes_set(0)};
        lanes_mask some = mask_of((1u << rest) - 1);
        lanes x = lanes_load_part(walk->x + n * LANES, rest);
        add_vector(&moves, x, true, &last);
        sums.left += lanes_select(some, last.left, lanes_set(0));
        sums.right += lanes_select(some, last.right, lanes_set(0));
    }
    return (struct sums){sum_in_all(sums.left), sum_in_all(sums.right)};
}

/* Estimated squared losses of both moves. */
static struct sums estimate(const struct walk *walk)
{
    struct sums sums =
        walk->dim <= SHORT_DIM ? sum_columns(walk) : sum_row(walk);
    sums.left *= walk->moves.left.sq_scale;
    sums.right *= walk->moves.right.sq_scale;
    return sums;
}

/* ---- where estimates cannot tell ------------------------------------- */

/* Losses of one row as the specification has them, a range a lane. */
static lanes exact_losses(const float *x, size_t dim, uint32_t scales,
                          struct ends range)
{
    lanes bias = lanes_store(range.min, scales);
    lanes scale = lanes_raw_scale(bias, range.max, scales);
    lanes inverse = lanes_select(lanes_equal(scale, lanes_set(0)), lanes_set(1),
                                 lanes_set(1) / scale);
    lanes sum = lanes_set(0);
    for (size_t i = 0; i < dim; i++) {
        lanes value = lanes_set(x[i]);
        lanes code = lanes_max((value - bias) * inverse, lanes_set(0));
        code = lanes_round(lanes_min(code, lanes_set(AFFINE_MAX_CODE)));
        lanes error = value - (code * scale + bias);
        sum += error * error;
    }
    return lanes_sqrt(sum);
}

struct decisions {
    lanes_mask left;   /* the left end moves */
    lanes_mask record; /* the present range is the best so far */
};

enum {
    LEFT,
    RIGHT,
    NOW,
    BEST,
    N_RANGES
};

/* Decides the lanes of `unsure` by the losses themselves. */
static struct decisions settle(const struct walk *walk, unsigned unsure,
                               struct decisions known)
{
    float min[N_RANGES][LANES];
    float max[N_RANGES][LANES];
    lanes_put(min[LEFT], walk->next.min);
    lanes_put(max[LEFT], walk->now.max);
    lanes_put(min[RIGHT], walk->now.min);
    lanes_put(max[RIGHT], walk->next.max);
    lanes_put(min[NOW], walk->now.min);
    lanes_put(max[NOW], walk->now.max);
    lanes_put(min[BEST], walk->best.min);
    lanes_put(max[BEST], walk->best.max);
    unsigned left = mask_bits(known.left) & ~unsure;
    unsigned record = mask_bits(known.record) & ~unsure;
    for (; unsure != 0; unsure &= unsure - 1) {
        unsigned lane = (unsigned)__builtin_ctz(unsure);
        float lo[LANES] = {0};
        float hi[LANES] = {0};
        for (size_t i = 0; i < N_RANGES; i++) {
            lo[i] = min[i][lane];
            hi[i] = max[i][lane];
        }
        float loss[LANES];
        struct ends ranges = {lanes_load(lo), lanes_load(hi)};
        lanes_put(loss, exact_losses(walk->rows[lane], walk->dim, walk->scales,
                                     ranges));
        left |= (unsigned)(loss[LEFT] < loss[RIGHT]) << lane;
        record |= (unsigned)(loss[NOW] < loss[LEFT] &&
                             loss[NOW] < loss[RIGHT] && loss[NOW] < loss[BEST])
                  << lane;
    }
    return (struct decisions){mask_of(left), mask_of(record)};
}

LANES_INLINE struct decisions decide(const struct walk *walk, struct sums loss)
{
    lanes ratio = lanes_set(walk->ratio);
    lanes bound = lanes_fma(loss.left + loss.right, ratio, walk->slack);
    lanes_mask sure = lanes_less(bound, lanes_abs(loss.left - loss.right));

    /* Whether the present range's loss is less than three others is a matter
     * of the least of them; it is not if the best is the present range. */
    lanes least = lanes_min(lanes_min(loss.left, loss.right), walk->best_loss);
    bound = lanes_fma(least + walk->now_loss, ratio, walk->slack);
    lanes_mask record = lanes_less(bound, least - walk->now_loss);
    lanes_mask keep = lanes_less(bound, walk->now_loss - least);
    keep = mask_or(keep, mask_and(lanes_equal(walk->now.min, walk->best.min),
                                  lanes_equal(walk->now.max, walk->best.max)));
    sure = mask_and(sure, mask_or(record, keep));

    struct decisions known = {lanes_less(loss.left, loss.right),
                              mask_without(record, keep)};
    unsigned unsure = mask_bits(mask_without(walk->moving, sure));
    return unsure == 0 ? known : settle(walk, unsure, known);
}

/* ---- the walk -------------------------------------------------------- */

LANES_INLINE void take_step(struct walk *walk)
{
    struct sums loss = estimate(walk);
    struct decisions decided = decide(walk, loss);
    lanes_mask record = mask_and(walk->moving, decided.record);
    lanes_mask left = mask_and(walk->moving, decided.left);
    lanes_mask right = mask_without(walk->moving, decided.left);

    walk->best.min = lanes_select(record, walk->now.min, walk->best.min);
    walk->best.max = lanes_select(record, walk->now.max, walk->best.max);
    walk->best_loss = lanes_select(record, walk->now_loss, walk->best_loss);
    walk->now.min = lanes_select(left, walk->next.min, walk->now.min);
    walk->now.max = lanes_select(right, walk->next.max, walk->now.max);
    walk->now_loss = lanes_select(
        left, loss.left, lanes_select(right, loss.right, walk->now_loss));
    walk->moving =
        mask_and(walk->moving,
                 lanes_less(walk->now.min + walk->least_width, walk->now.max));
    prepare_step(walk);
}

/* Which values no range of the walk can clamp. */
LANES_INLINE struct ends inner_of(const struct walk *walk, lanes size)
{
    float tiny = walk->scales == NB_SCALES_FP16 ? 0x1p-20f : 0;
    lanes margin =
        lanes_fma(walk->step, lanes_set(28.5f),
                  lanes_fma(size, lanes_set(0x1p-9f), lanes_set(tiny)));
    return (struct ends){walk->now.min + margin, walk->now.max - margin};
}

static void take_columns(struct walk *walk, struct ends inner)
{
    float low[LANES];
    float high[LANES];
    float sorted[LANES][SHORT_DIM + LANES];
    const float *rows[LANES];
    lanes_put(low, inner.min);
    lanes_put(high, inner.max);
    for (size_t i = 0; i < LANES; i++) {
        size_t n = lanes_partition(walk->rows[i], walk->dim, low[i], high[i],
                                   sorted[i]);
        walk->n_outer = n > walk->n_outer ? n : walk->n_outer;
        rows[i] = sorted[i];
    }
    for (size_t i = 0; i < walk->dim; i += LANES) {
        lanes column[LANES];
        rows_columns(rows, i, LANES, column);
        for (size_t k = 0; k < LANES; k++) {
            lanes_put(walk->values + (i + k) * LANES, column[k]);
        }
    }
    walk->x = walk->values;
}

static void take_row(struct walk *walk, struct ends inner)
{
    if (walk->dim > MAX_VALUES - LANES) {
        walk->x = walk->rows[0];
        walk->n_outer = walk->dim;
        return;
    }
    walk->n_outer = lanes_partition(walk->rows[0], walk->dim, inner.min[0],
                                    inner.max[0], walk->values);
    walk->x = walk->values;
}

/* n rows from x on, none if n is 0. */
static void walk_start(struct walk *walk, const struct nb_format *format,
                       const float *x, size_t n)
{
    walk->n = n;
    walk->dim = format->dim;
    walk->scales = format->scales;
    walk->n_outer = 0;
    if (n == 0) {
        walk->moving = mask_of(0);
        return;
    }
    rows_set(walk->rows, x, n, walk->dim);
    walk->now = rows_ends(walk->rows, walk->dim);
    walk->best = walk->now;
    lanes range = walk->now.max - walk->now.min;
    walk->step = range / lanes_set(GREEDY_BINS);
    walk->least_width = lanes_set(GREEDY_MIN_BINS) * walk->step;

    float d = (float)walk->dim;
    lanes size = lanes_max(lanes_abs(walk->now.min), lanes_abs(walk->now.max));
    lanes b = lanes_fma(range, lanes_set(1.1f * 11 * UNIT),
                        size * lanes_set(1.1f * 2.2f * UNIT));
    walk->slack = b * b * lanes_set(d * 0x1p16f);
    walk->ratio = 2 * (0x1p-16f + 1.1f * (d + 4) * UNIT);
    float least = walk->scales == NB_SCALES_FP16 ? 0x1p-14f : 0x1p-40f;
    walk->sane = mask_and(lanes_less(size * lanes_set(0x1p-6f), range),
                          mask_and(lanes_less(lanes_set(least), range),
                                   lanes_less(range, lanes_set(0x1p50f))));
    walk->moving =
        mask_and(mask_and(walk->sane, mask_of((1u << n) - 1)),
                 lanes_less(walk->now.min + walk->least_width, walk->now.max));

    struct ends inner = inner_of(walk, size);
    if (walk->dim <= SHORT_DIM) {
        take_columns(walk, inner);
    } else {
        take_row(walk, inner);
    }
    walk->moves.left = range_of(walk->now.min, walk->now.max, walk->scales);
    walk->moves.right = walk->moves.left;
    walk->now_loss = estimate(walk).left;
    walk->best_loss = walk->now_loss;
    prepare_step(walk);
}

static void walk_finish(const struct walk *walk, const struct nb_format *format,
                        struct affine *chosen)
{
    if (walk->n == 0) {
        return;
    }
    lanes_affine(walk->best.min, walk->best.max, walk->scales, walk->n, chosen);
    unsigned rest = ~mask_bits(walk->sane) & ((1u << walk->n) - 1);
    for (; rest != 0; rest &= rest - 1) {
        unsigned lane = (unsigned)__builtin_ctz(rest);
        nb_q4_greedy_scalar(format, walk->rows[lane], 1, &chosen[lane]);
    }
}

/* Two walks in turns: while one estimates, the other's step, a long chain of
 * operations that wait for each other, is done beside it. */
LANES_INLINE void greedy_rows(const struct nb_format *format, const float *x,
                              size_t n_rows, struct affine *chosen)
{
    struct walk walks[2];
    size_t at_once = format->dim <= SHORT_DIM ? LANES : 1;
    while (n_rows > 0) {
        size_t first = n_rows < at_once ? n_rows : at_once;
        size_t second = n_rows - first < at_once ? n_rows - first : at_once;
        walk_start(&walks[0], format, x, first);
        walk_start(&walks[1], format, x + first * format->dim, second);
        while ((mask_bits(walks[0].moving) | mask_bits(walks[1].moving)) != 0) {
            for (size_t i = 0; i < 2; i++) {
                if (mask_bits(walks[i].moving) != 0) {
                    take_step(&walks[i]);
                }
            }
        }
        walk_finish(&walks[0], format, chosen);
        walk_finish(&walks[1], format, chosen + first);
        x += (first + second) * format->dim;
        chosen += first + second;
        n_rows -= first + second;
    }
}

#endif
