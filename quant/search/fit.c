/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/search/fit.h"

#include <math.h>
#include <stdbool.h>

#define LANES      8
#define MAX_ROUNDS 64   /* of alternation; a handful is usual */
#define LEAST_GAIN 1e-9 /* of the loss, for another round */
#define COARSE     8    /* spacings of the bias to a scale: fewer are coarse */
#define RADIUS     3    /* neighbours tried on either side */

static double fold(const double lane[LANES])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* Sums over the columns; r is the error x - y, k the code. */
struct sums {
    double n;
    double r;
    double r2;
    double k;
    double k2;
    double kr;
};

struct lanes {
    double r[LANES];
    double r2[LANES];
    double kr[LANES];
    float k[LANES];  /* exact: at most 15 * dim / 8 */
    float k2[LANES]; /* exact: below 2^24 */
};

static inline float error_of(float x, struct affine affine, float inverse,
                             float *code)
{
    *code = affine_round((x - affine.bias) * inverse);
    return *code * affine.scale + affine.bias;
}

static inline void add(struct lanes *lanes, size_t lane, float x,
                       struct affine affine, float inverse)
{
    float k;
    float y = error_of(x, affine, inverse, &k);
    double r = (double)x - (double)y;
    lanes->r[lane] += r;
    lanes->r2[lane] += r * r;
    lanes->kr[lane] += (double)k * r;
    lanes->k[lane] += k;
    lanes->k2[lane] += k * k;
}

static struct sums measure(const float *x, size_t dim, struct affine affine)
{
    struct lanes lanes = {0};
    float inverse = 1.0f / affine.scale;
    size_t whole = dim - dim % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++) {
            add(&lanes, lane, x[i + lane], affine, inverse);
        }
    }
    for (size_t i = whole; i < dim; i++) {
        add(&lanes, i - whole, x[i], affine, inverse);
    }
    struct sums sums = {
        .n = (double)dim,
        .r = fold(lanes.r),
        .r2 = fold(lanes.r2),
        .kr = fold(lanes.kr),
    };
    for (size_t lane = 0; lane < LANES; lane++) {
        sums.k += (double)lanes.k[lane];
        sums.k2 += (double)lanes.k2[lane];
    }
    return sums;
}

double fit_loss(const float *x, size_t dim, struct affine affine)
{
    double lane[LANES] = {0};
    float inverse = 1.0f / affine.scale;
    size_t whole = dim - dim % LANES;
    float k;
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            float y = error_of(x[i + j], affine, inverse, &k);
            double r = (double)x[i + j] - (double)y;
            lane[j] += r * r;
        }
    }
    for (size_t i = whole; i < dim; i++) {
        double r = (double)x[i] - (double)error_of(x[i], affine, inverse, &k);
        lane[i - whole] += r * r;
    }
    return fold(lane);
}

/* What struct affine promises. */
static bool is_valid(struct affine affine)
{
    return isfinite(affine.scale) && affine.scale != 0 &&
           isfinite(1.0f / affine.scale) && isfinite(affine.bias);
}

struct line fit_alternate(const float *x, size_t dim, struct line from,
                          double *loss)
{
    struct line line = from;
    *loss = HUGE_VAL;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        struct affine at = {.scale = (float)line.scale,
                            .bias = (float)line.bias};
        if (!is_valid(at)) {
            break;
        }
        struct sums sums = measure(x, dim, at);
        double determinant = sums.n * sums.k2 - sums.k * sums.k;
        double scale = 0; /* all codes alike: only the bias matters */
        if (determinant > 0) {
            scale = (sums.n * sums.kr - sums.k * sums.r) / determinant;
        }
        double bias = (sums.r - scale * sums.k) / sums.n;
        double fitted = sums.r2 - (scale * sums.kr + bias * sums.r);
        line.scale = (double)at.scale + scale;
        line.bias = (double)at.bias + bias;
        if (!(fitted < *loss - LEAST_GAIN * *loss)) {
            *loss = fitted < *loss ? fitted : *loss;
            break;
        }
        *loss = fitted;
    }
    return line;
}

/* The number of the scale type `steps` above a stored one. */
static float step_stored(float value, int32_t steps, uint32_t scales)
{
    uint32_t sign_bit = scales == NB_SCALES_FP16 ? 0x8000u : 0x80000000u;
    uint32_t bits =
        scales == NB_SCALES_FP16 ? half_from_float(value) : float_bits(value);
    int32_t magnitude = (int32_t)(bits & (sign_bit - 1));
    int32_t rank = (bits & sign_bit) != 0 ? -magnitude : magnitude;
    rank += steps;
    bits = rank < 0 ? (uint32_t)-rank | sign_bit : (uint32_t)rank;
    return scales == NB_SCALES_FP16 ? half_to_float((uint16_t)bits)
                                    : float_from_bits(bits);
}

/* Search of the pairs around one whose sums are known. */
struct around {
    const struct sums *sums;
    struct affine center;
    uint32_t scales;
    struct affine best;
    double best_loss;
};

/* The loss with the codes kept, which that with the nearest codes cannot
 * exceed. */
static void try_pair(struct around *around, float scale, float bias)
{
    const struct sums *sums = around->sums;
    double s = (double)scale - (double)around->center.scale;
    double b = (double)bias - (double)around->center.bias;
    double loss = sums->r2 - 2 * (s * sums->kr + b * sums->r) +
                  s * s * sums->k2 + 2 * s * b * sums->k + b * b * sums->n;
    struct affine pair = {.scale = scale, .bias = bias};
    if (loss < around->best_loss && is_valid(pair)) {
        around->best_loss = loss;
        around->best = pair;
    }
}

/* The two stored numbers about `value`, which may round to neither side. */
static void enclose(double value, uint32_t scales, float pair[2])
{
    pair[0] = affine_store((float)value, scales);
    pair[1] = step_stored(pair[0], value < (double)pair[0] ? -1 : 1, scales);
}

static void try_neighbours(struct around *around)
{
    const struct sums *sums = around->sums;
    struct affine at = around->center;
    for (int32_t j = -RADIUS; j <= RADIUS; j++) {
        float pair[2];
        float scale = step_stored(at.scale, j, around->scales);
        double s = (double)scale - (double)at.scale;
        enclose((double)at.bias + (sums->r - s * sums->k) / sums->n,
                around->scales, pair);
        try_pair(around, scale, pair[0]);
        try_pair(around, scale, pair[1]);
        if (sums->k2 > 0) {
            float bias = step_stored(at.bias, j, around->scales);
            double b = (double)bias - (double)at.bias;
            enclose((double)at.scale + (sums->kr - b * sums->k) / sums->k2,
                    around->scales, pair);
            try_pair(around, pair[0], bias);
            try_pair(around, pair[1], bias);
        }
    }
}

/* From a stored pair to its best neighbour and on, while that gains. */
static double settle(const float *x, const struct nb_format *format,
                     struct affine from, double best_loss, struct affine *best)
{
    struct around around = {.scales = format->scales, .best = from};
    double loss = HUGE_VAL;
    for (int round = 0; round < MAX_ROUNDS && is_valid(around.best); round++) {
        struct sums sums = measure(x, format->dim, around.best);
        if (!(sums.r2 < loss)) {
            break;
        }
        loss = sums.r2;
        if (loss < best_loss) {
            best_loss = loss;
            *best = around.best;
        }
        around.center = around.best;
        around.sums = &sums;
        around.best_loss = loss;
        try_neighbours(&around);
    }
    return best_loss;
}

double fit_store(const float *x, const struct nb_format *format,
                 struct line line, struct affine *best)
{
    uint32_t scales = format->scales;
    struct affine rounded = {.scale = affine_store((float)line.scale, scales),
                             .bias = affine_store((float)line.bias, scales)};
    double loss = fit_loss(x, format->dim, *best);
    loss = settle(x, format, rounded, loss, best);

    /* Biases so far apart that moving to the next changes the codes. */
    float spacing = step_stored(rounded.bias, 1, scales) - rounded.bias;
    if (fabsf(spacing) * COARSE > fabsf(rounded.scale)) {
        for (int32_t j = -RADIUS; j <= RADIUS; j++) {
            struct affine from = {.scale = rounded.scale,
                                  .bias = step_stored(rounded.bias, j, scales)};
            loss = settle(x, format, from, loss, best);
        }
    }
    return loss;
}

double fit_refine(const float *x, const struct nb_format *format,
                  struct affine *best)
{
    double loss;
    struct line from = {.scale = (double)best->scale,
                        .bias = (double)best->bias};
    struct line line = fit_alternate(x, format->dim, from, &loss);
    return fit_store(x, format, line, best);
}
