/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * hist-approx: from the whole histogram, quantiles alpha from below and beta
 * from above move in by 1e-5; whichever skips more bins moves its end of the
 * range (the upper one if alike), until the norm rises. So do the observers of
 * Caffe2 and PyTorch, and like them this takes the first move unseen.
 *
 * In less than 1e5 values each is more than a step of a quantile. The lower one
 * then never passes the first bin, which holds the least value, and so never
 * moves; the upper one gives up first the last bin, then each time the
 * uppermost bin left with values in it and all above that.
 */
#include "quant/search/hist.h"
#include "quant/search/search.h"

_Static_assert(NB_DIM_MAX < 100000, "the lower end would have to move too");

static struct affine choose_row(const float *x, const struct nb_format *format)
{
    struct hist hist;
    if (!hist_count(&hist, x, format->dim)) {
        return affine_of_range(hist.range.min, hist.range.max, format->scales);
    }
    int64_t best_n = 0;
    int64_t least = INT64_MAX;
    int64_t n = HIST_BINS - 1;
    while (n > 0) {
        int64_t norm = hist_norm(&hist, 0, n);
        if (norm > least) {
            break;
        }
        least = norm;
        best_n = n;
        int64_t below = hist.below[n];
        n--;
        while (n > 1 && hist.below[n] == below) {
            n--;
        }
    }
    return hist_affine(&hist, 0, best_n, format->scales);
}

static void choose(const struct nb_format *format, const float *x,
                   size_t n_rows, struct affine *chosen)
{
    for (size_t i = 0; i < n_rows; i++) {
        chosen[i] = choose_row(x + i * format->dim, format);
    }
}

const struct search search_hist_approx = {.name = "hist-approx",
                                          .choose = choose};
