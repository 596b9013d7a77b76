/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/eval/bag_probe.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "storage/mix64.h"

#define SEED UINT64_C(0x6e6962626c65)

/* Doubles of all sums together: 32 MiB. */
#define VALUES_MAX ((size_t)1 << 22)
#define BAGS_MAX   1000u
#define IDS_A_BAG  121u /* over all sizes */

const uint32_t BAG_IDS[BAG_SIZES] = {1, 20, IDS_A_BAG - 21};

struct bag_probe {
    uint64_t n_rows;
    uint32_t dim;
    size_t n_bags; /* of each size */
    size_t n_ids;  /* of all bags */
    uint64_t *ids; /* bag after bag, the small ones first */
    /* Places in ids, by id and place: rows come in that order. */
    uint32_t *by_row;
    size_t n_shown; /* of by_row */
    uint64_t next_row;
    double *sums; /* of every bag, dim values each */
};

size_t bag_probe_bags(uint32_t dim)
{
    size_t n = VALUES_MAX / BAG_SIZES / dim;
    return n < BAGS_MAX ? n : BAGS_MAX;
}

/* Of which bag the id at that place is. */
static size_t bag_of(const struct bag_probe *probe, size_t place)
{
    size_t bag = 0;
    for (size_t i = 0; i < BAG_SIZES; i++) {
        size_t n = probe->n_bags * BAG_IDS[i];
        if (place < n) {
            return bag + place / BAG_IDS[i];
        }
        place -= n;
        bag += probe->n_bags;
    }
    return bag; /* past the end */
}

/* ---- drawing ids --------------------------------------------------------- */

/* The first row whose running sum is above `at`. */
static uint64_t row_at(const double *running, uint64_t n_rows, double at)
{
    uint64_t low = 0;
    uint64_t high = n_rows - 1;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (running[middle] > at) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static int draw_weighted(struct bag_probe *probe, const double *weights)
{
    double *running = calloc(probe->n_rows, sizeof(*running));
    if (running == NULL) {
        return NB_ERR_NOMEM;
    }
    double sum = 0;
    uint64_t n = 0; /* up to the last row of some weight */
    for (uint64_t i = 0; i < probe->n_rows; i++) {
        sum += weights[i];
        running[i] = sum;
        n = weights[i] > 0 ? i + 1 : n;
    }
    for (size_t i = 0; i < probe->n_ids; i++) {
        probe->ids[i] = row_at(running, n, sum * mix64_unit(SEED, i));
    }
    free(running);
    return 0;
}

static void draw_evenly(struct bag_probe *probe)
{
    for (size_t i = 0; i < probe->n_ids; i++) {
        probe->ids[i] = mix64_below(SEED, i, probe->n_rows);
    }
}

static int compare_places(const void *a, const void *b, void *ids_of)
{
    const uint64_t *ids = ids_of;
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    if (ids[x] != ids[y]) {
        return ids[x] < ids[y] ? -1 : 1;
    }
    return x < y ? -1 : 1;
}

static void sort_by_row(struct bag_probe *probe)
{
    for (size_t i = 0; i < probe->n_ids; i++) {
        probe->by_row[i] = (uint32_t)i;
    }
    qsort_r(probe->by_row, probe->n_ids, sizeof(*probe->by_row), compare_places,
            probe->ids);
}

/* ---- the probe ----------------------------------------------------------- */

static struct bag_probe *allocate(uint64_t n_rows, uint32_t dim)
{
    struct bag_probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        return NULL;
    }
    probe->n_rows = n_rows;
    probe->dim = dim;
    probe->n_bags = bag_probe_bags(dim);
    probe->n_ids = probe->n_bags * IDS_A_BAG;
    probe->ids = calloc(probe->n_ids, sizeof(*probe->ids));
    probe->by_row = calloc(probe->n_ids, sizeof(*probe->by_row));
    probe->sums = calloc(BAG_SIZES * probe->n_bags, dim * sizeof(*probe->sums));
    if (probe->ids == NULL || probe->by_row == NULL || probe->sums == NULL) {
        bag_probe_destroy(probe);
        return NULL;
    }
    return probe;
}

int bag_probe_create(uint64_t n_rows, uint32_t dim, const double *weights,
                     struct bag_probe **probe, struct nb_errctx *err)
{
    struct bag_probe *created = allocate(n_rows, dim);
    int rv = created == NULL ? NB_ERR_NOMEM : 0;
    if (rv == 0 && weights != NULL) {
        rv = draw_weighted(created, weights);
    } else if (rv == 0) {
        draw_evenly(created);
    }
    if (rv != 0) {
        bag_probe_destroy(created);
        return nb_fail(err, rv, "out of memory for bags of rows");
    }
    sort_by_row(created);
    *probe = created;
    return 0;
}

void bag_probe_destroy(struct bag_probe *probe)
{
    if (probe != NULL) {
        free(probe->sums);
        free(probe->by_row);
        free(probe->ids);
        free(probe);
    }
}

void bag_probe_show(struct bag_probe *probe, const float *values,
                    const uint64_t *ids, size_t n_rows)
{
    uint64_t end = probe->next_row + n_rows;
    for (; probe->n_shown < probe->n_ids; probe->n_shown++) {
        size_t place = probe->by_row[probe->n_shown];
        uint64_t row = probe->ids[place];
        if (row >= end) {
            break;
        }
        const float *x = values + (row - probe->next_row) * probe->dim;
        double *sum = probe->sums + bag_of(probe, place) * probe->dim;
        for (uint32_t i = 0; i < probe->dim; i++) {
            sum[i] += (double)x[i];
        }
        if (ids != NULL) {
            probe->ids[place] = ids[row - probe->next_row];
        }
    }
    probe->next_row = end;
}

/* ---- measuring ----------------------------------------------------------- */

struct squares {
    double error;
    double sum;
};

static int add_bag(const struct nb_rows *rows, const uint64_t *ids, uint32_t n,
                   const double *exact, struct squares *squares)
{
    const struct nb_pool pool = {
        .ids = {.u64 = ids, .n = n},
        .lengths = &n,
        .n_bags = 1,
        .pooling = NB_SUM,
        .dtype = NB_FP32,
        .unseen = {.action = NB_UNSEEN_ERROR},
    };
    float pooled[NB_DIM_MAX];
    uint64_t unseen;
    int rv = nb_pool(rows, &pool, pooled, &unseen);
    if (rv != 0) {
        return rv;
    }
    for (uint32_t i = 0; i < rows->format.dim; i++) {
        double error = (double)pooled[i] - exact[i];
        squares->error += error * error;
        squares->sum += exact[i] * exact[i];
    }
    return 0;
}

int bag_probe_measure(const struct bag_probe *probe, const struct nb_rows *rows,
                      struct bag_errors *errors)
{
    const uint64_t *ids = probe->ids;
    const double *exact = probe->sums;
    for (size_t size = 0; size < BAG_SIZES; size++) {
        struct squares squares = {0};
        for (size_t i = 0; i < probe->n_bags; i++) {
            int rv = add_bag(rows, ids, BAG_IDS[size], exact, &squares);
            if (rv != 0) {
                return rv;
            }
            ids += BAG_IDS[size];
            exact += probe->dim;
        }
        errors->nl2[size] =
            squares.sum > 0 ? sqrt(squares.error / squares.sum) : 0;
    }
    return 0;
}
