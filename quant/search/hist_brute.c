/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * hist-brute: of all (start bin, number of bins) of the histogram the one with
 * the least norm; of equal ones the fewest bins, then the first start. A norm
 * takes 15 loads instead of a walk over the bins (hist.c), and most are not
 * taken: values outside the range lose too much by themselves.
 */
#include "quant/search/hist.h"
#include "quant/search/search.h"

static struct affine choose_row(const float *x, const struct nb_format *format)
{
    struct hist hist;
    if (!hist_count(&hist, x, format->dim)) {
        return affine_of_range(hist.range.min, hist.range.max, format->scales);
    }
    int64_t best_start = 0;
    int64_t best_n = HIST_BINS;
    int64_t best = hist_norm(&hist, 0, HIST_BINS);
    for (int64_t n = HIST_BINS - 1; n >= 1; n--) {
        for (int64_t start = HIST_BINS - n; start >= 0; start--) {
            if (hist_norm_outside(&hist, start, n) > best) {
                continue;
            }
            int64_t norm = hist_norm(&hist, start, n);
            if (norm <= best) {
                best = norm;
                best_start = start;
                best_n = n;
            }
        }
    }
    return hist_affine(&hist, best_start, best_n, format->scales);
}

static void choose(const struct nb_format *format, const float *x,
                   size_t n_rows, struct affine *chosen)
{
    for (size_t i = 0; i < n_rows; i++) {
        chosen[i] = choose_row(x + i * format->dim, format);
    }
}

const struct search search_hist_brute = {.name = "hist-brute",
                                         .choose = choose};
