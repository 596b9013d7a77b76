/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/codec/kmeans.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "quant/nibble.h"

/*
 * cost(k, i) is the least cost of the first i points in k clusters,
 *     cost(k, i) = min over j of cost(k - 1, j) + spread(j, i),
 * and the greatest j that is best for i never decreases with i. So the points
 * of a layer are done in an order that halves the gaps, each between the
 * choices of its neighbours: n log n steps a layer.
 */
struct plan {
    size_t n; /* points */
    double inverse[KMEANS_EXACT + 1];
    double sum[KMEANS_EXACT + 1]; /* of the points before, and their squares */
    double square[KMEANS_EXACT + 1];
    double cost[2][KMEANS_EXACT + 1];
    /* Where the last cluster of the best plan for i points begins. */
    uint16_t begin[KMEANS_MAX_LEVELS][KMEANS_EXACT + 1];
};

/* Shell's sort, gaps by Ciura: in place, unlike qsort(), which allocates. */
static void sort_floats(float *x, size_t n)
{
    static const size_t gaps[] = {29541, 13129, 5835, 2593, 1152, 512, 228,
                                  102,   45,    20,   9,    4,    1};
    for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
        size_t gap = gaps[g];
        for (size_t i = gap; i < n; i++) {
            float value = x[i];
            size_t at = i;
            for (; at >= gap && x[at - gap] > value; at -= gap) {
                x[at] = x[at - gap];
            }
            x[at] = value;
        }
    }
}

/* Sum of squared distances of points j..i-1 from their mean. */
static inline double spread(const struct plan *plan, size_t j, size_t i)
{
    double sum = plan->sum[i] - plan->sum[j];
    return plan->square[i] - plan->square[j] - sum * sum * plan->inverse[i - j];
}

/* Where the run that a point stands for begins. */
static size_t run_begin(const struct plan *plan, size_t n, size_t point)
{
    assert(plan->n > 0);
    return point * n / plan->n;
}

/* Sums are of differences from the middle value, for precision. */
static void prepare(struct plan *plan, const float *sorted, size_t n)
{
    double middle = (double)sorted[n / 2];

    plan->n = n < KMEANS_EXACT ? n : KMEANS_EXACT;
    plan->inverse[0] = plan->sum[0] = plan->square[0] = 0;
    for (size_t p = 0; p < plan->n; p++) {
        size_t end = run_begin(plan, n, p + 1);
        size_t begin = run_begin(plan, n, p);
        double mean = 0;
        for (size_t i = begin; i < end; i++) {
            mean += (double)sorted[i] - middle;
        }
        mean /= (double)(end - begin);
        plan->sum[p + 1] = plan->sum[p] + mean;
        plan->square[p + 1] = plan->square[p] + mean * mean;
        plan->inverse[p + 1] = 1.0 / (double)(p + 1);
    }
}

static void choose_begin(struct plan *plan, size_t layer, size_t i,
                         size_t first, size_t last)
{
    const double *before = plan->cost[(layer - 1) % 2];
    double best = before[first] + spread(plan, first, i);
    size_t at = first;

    for (size_t j = first + 1; j <= last; j++) {
        double cost = before[j] + spread(plan, j, i);
        if (cost <= best) {
            best = cost;
            at = j;
        }
    }
    plan->cost[layer % 2][i] = best;
    plan->begin[layer][i] = (uint16_t)at;
}

static void run_layer(struct plan *plan, size_t layer)
{
    const uint16_t *begin = plan->begin[layer];
    size_t n = plan->n;
    size_t top = 1;

    while (top <= n) {
        top *= 2;
    }
    plan->cost[layer % 2][0] = 0;
    plan->begin[layer][0] = 0;
    for (size_t step = top / 2; step > 0; step /= 2) {
        for (size_t i = step; i <= n; i += 2 * step) {
            size_t next = i + step;
            size_t last = next <= n ? begin[next] : n;
            choose_begin(plan, layer, i, begin[i - step], last < i ? last : i);
        }
    }
}

/* Takes the distinct values for levels; false if they are too many. */
static bool levels_are_values(const float *sorted, size_t n, float *levels,
                              size_t n_levels)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || sorted[i] != sorted[i - 1]) {
            if (used == n_levels) {
                return false;
            }
            levels[used++] = sorted[i];
        }
    }
    for (; used < n_levels; used++) {
        levels[used] = levels[used - 1];
    }
    return true;
}

static float mean_of(const float *sorted, size_t begin, size_t end)
{
    double sum = 0;
    for (size_t i = begin; i < end; i++) {
        sum += (double)sorted[i];
    }
    return (float)(sum / (double)(end - begin));
}

/* Of more distinct values than levels: no cluster is empty. */
static void plan_levels(const float *sorted, size_t n, float *levels,
                        size_t n_levels)
{
    struct plan plan;

    prepare(&plan, sorted, n);
    for (size_t i = 0; i <= plan.n; i++) {
        plan.cost[0][i] = spread(&plan, 0, i);
    }
    for (size_t layer = 1; layer < n_levels; layer++) {
        run_layer(&plan, layer);
    }
    size_t end = plan.n;
    for (size_t layer = n_levels; layer-- > 0;) {
        size_t begin = layer > 0 ? plan.begin[layer][end] : 0;
        levels[layer] = mean_of(sorted, run_begin(&plan, n, begin),
                                run_begin(&plan, n, end));
        end = begin;
    }
}

void kmeans_levels(const float *x, size_t n, float *levels, size_t n_levels)
{
    float sorted[NB_DIM_MAX];

    assert(n > 0);
    memcpy(sorted, x, n * sizeof(*x));
    sort_floats(sorted, n);
    if (!levels_are_values(sorted, n, levels, n_levels)) {
        plan_levels(sorted, n, levels, n_levels);
    }
}
