/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/search/hist.h"

static void add_bin(struct hist *hist, int64_t j, int64_t count)
{
    hist->below[j + 1] = hist->below[j] + count;
    hist->first[j + 1] = hist->first[j] + count * 8 * (2 * j + 1);
    hist->second[j + 1] =
        hist->second[j] + count * 256 * (3 * j * j + 3 * j + 1);
    for (int64_t f = 0; f < HIST_CELLS; f++) {
        int64_t at = j * HIST_CELLS + f;
        int64_t below_16 = hist->below[j] * HIST_CELLS + count * f;
        hist->integral[at + 1] = hist->integral[at] + 2 * below_16 + count;
    }
}

bool hist_count(struct hist *hist, const float *x, size_t dim)
{
    int64_t counts[HIST_BINS] = {0};
    hist->range = row_minmax(x, dim);
    double min = (double)hist->range.min;
    double width = (double)hist->range.max - min;
    if (!(width > 0)) {
        return false;
    }
    for (size_t i = 0; i < dim; i++) {
        double at = ((double)x[i] - min) / width * HIST_BINS;
        counts[at < HIST_BINS - 1 ? (int)at : HIST_BINS - 1]++;
    }
    hist->below[0] = hist->first[0] = hist->second[0] = hist->integral[0] = 0;
    for (int j = 0; j < HIST_BINS; j++) {
        add_bin(hist, j, counts[j]);
    }
    return true;
}

/* 12 x the second moment about half / 2 of bins [from, to). */
static int64_t about(const struct hist *hist, int64_t from, int64_t to,
                     int64_t half)
{
    int64_t count = hist->below[to] - hist->below[from];
    int64_t first = hist->first[to] - hist->first[from];
    int64_t second = hist->second[to] - hist->second[from];
    return 4 * second - 12 * half * first + 3 * half * half * count;
}

int64_t hist_norm_outside(const struct hist *hist, int64_t start, int64_t n)
{
    int64_t lowest = 2 * HIST_CELLS * start + n;
    int64_t highest = lowest + 2 * (HIST_CELLS - 1) * n;
    return 4 * (about(hist, 0, start, lowest) +
                about(hist, start + n, HIST_BINS, highest));
}

/*
 * With cell centres c_k = 16 start + n (k + 1/2), edges b_k = 16 start + n k
 * and moments M summed by parts over the cells, the norm is M2 - 2 c_15 M1 +
 * c_15^2 M0 - 2 n sum_{k=1..15} (b_k M0(b_k) - M1(b_k)) whose last bracket is
 * the integral of M0 up to b_k.
 */
int64_t hist_norm(const struct hist *hist, int64_t start, int64_t n)
{
    int64_t sum = 0;
    const int64_t *edge = hist->integral + HIST_CELLS * start;
    for (int64_t k = 1; k < HIST_CELLS; k++) {
        sum += edge[k * n];
    }
    int64_t highest = 2 * HIST_CELLS * start + (2 * HIST_CELLS - 1) * n;
    int64_t spread = about(hist, 0, HIST_BINS, highest);
    return 4 * spread - 3 * n * sum;
}

struct affine hist_affine(const struct hist *hist, int64_t start, int64_t n,
                          uint32_t scales)
{
    double min = (double)hist->range.min;
    double width = ((double)hist->range.max - min) / HIST_BINS;
    float lo = (float)(min + width * (double)start);
    float hi = (float)(min + width * (double)(start + n));
    return affine_of_range(lo, hi, scales);
}
