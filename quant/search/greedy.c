/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * greedy: PyTorch's choose_qparams_optimized(200 bins, ratio 0.16), bit for
 * bit. From the full range, the end whose loss is less moves in by a bin, until
 * 168 bins are left; the best local optimum met on the way wins.
 */
#include <math.h>

#include "quant/codec/codec.h"
#include "quant/kernel/kernels.h"
#include "quant/search/greedy.h"
#include "quant/search/minmax.h"
#include "quant/search/search.h"

/* Root of the squared error of a row quantized to [lo, hi]. The sum is in
 * column order, as the result depends on it. */
static float range_loss(const float *x, const struct nb_format *format,
                        float lo, float hi)
{
    float bias = affine_store(lo, format->scales);
    float scale = affine_raw_scale(bias, hi, format->scales);
    float inverse = scale == 0 ? 1.0f : 1.0f / scale;
    float sum = 0;
    for (size_t i = 0; i < format->dim; i++) {
        float code = affine_round((x[i] - bias) * inverse);
        float error = x[i] - (code * scale + bias);
        sum += error * error;
    }
    return sqrtf(sum);
}

static struct affine choose_row(const float *x, const struct nb_format *format)
{
    struct minmax best = row_minmax(x, format->dim);
    struct minmax now = best;
    float step = (best.max - best.min) / GREEDY_BINS;
    float least_width = GREEDY_MIN_BINS * step;
    float now_loss = range_loss(x, format, now.min, now.max);
    float best_loss = now_loss;

    while (now.min + least_width < now.max) {
        float min = now.min + step;
        float max = now.max - step;
        float left = range_loss(x, format, min, now.max);
        float right = range_loss(x, format, now.min, max);
        if (now_loss < left && now_loss < right && now_loss < best_loss) {
            best = now;
            best_loss = now_loss;
        }
        /* Where the chosen step rounds away nothing would ever change again;
         * PyTorch does not return from such rows. */
        if (left < right) {
            if (min == now.min) {
                break;
            }
            now.min = min;
            now_loss = left;
        } else {
            if (max == now.max) {
                break;
            }
            now.max = max;
            now_loss = right;
        }
    }
    return affine_of_range(best.min, best.max, format->scales);
}

void nb_q4_greedy_scalar(const struct nb_format *format, const float *x,
                         size_t n_rows, struct affine *chosen)
{
    for (size_t i = 0; i < n_rows; i++) {
        chosen[i] = choose_row(x + i * format->dim, format);
    }
}

static void choose(const struct nb_format *format, const float *x,
                   size_t n_rows, struct affine *chosen)
{
    KERNEL_CALL(greedy, q4, format, x, n_rows, chosen);
}

const struct search search_greedy = {.name = "greedy", .choose = choose};
