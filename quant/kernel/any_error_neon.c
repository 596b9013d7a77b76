/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <arm_neon.h>
#include <string.h>

#include "quant/kernel/kernels.h"

/* Eight lanes. */
struct sum {
    float64x2_t lane[4];
};

struct sums {
    struct sum sq_err;
    struct sum sq_x;
    struct sum sq_y;
    struct sum dot;
    struct sum max_abs;
};

static inline struct sum load(const float *x)
{
    float32x4_t low = vld1q_f32(x);
    float32x4_t high = vld1q_f32(x + 4);
    return (struct sum){
        {vcvt_f64_f32(vget_low_f32(low)), vcvt_high_f64_f32(low),
         vcvt_f64_f32(vget_low_f32(high)), vcvt_high_f64_f32(high)}};
}

static inline float64x2_t add_product(float64x2_t sum, float64x2_t a,
                                      float64x2_t b)
{
    return vaddq_f64(sum, vmulq_f64(a, b));
}

static inline float64x2_t max_of(float64x2_t a, float64x2_t b)
{
    return vbslq_f64(vcgtq_f64(a, b), a, b);
}

static inline void add_values(struct sums *sums, const float *x, const float *y)
{
    struct sum a = load(x);
    struct sum b = load(y);
    for (int i = 0; i < 4; i++) {
        float64x2_t p = a.lane[i];
        float64x2_t q = b.lane[i];
        float64x2_t e = vsubq_f64(p, q);
        sums->sq_err.lane[i] = add_product(sums->sq_err.lane[i], e, e);
        sums->sq_x.lane[i] = add_product(sums->sq_x.lane[i], p, p);
        sums->sq_y.lane[i] = add_product(sums->sq_y.lane[i], q, q);
        sums->dot.lane[i] = add_product(sums->dot.lane[i], p, q);
        sums->max_abs.lane[i] = max_of(vabsq_f64(e), sums->max_abs.lane[i]);
    }
}

/* Folds the upper half of the lanes onto the lower, three times. */
static inline double fold_sum(struct sum sum)
{
    float64x2_t two = vaddq_f64(vaddq_f64(sum.lane[0], sum.lane[2]),
                                vaddq_f64(sum.lane[1], sum.lane[3]));
    return vgetq_lane_f64(two, 0) + vgetq_lane_f64(two, 1);
}

static inline double fold_max(struct sum sum)
{
    float64x2_t two = max_of(max_of(sum.lane[0], sum.lane[2]),
                             max_of(sum.lane[1], sum.lane[3]));
    double a = vgetq_lane_f64(two, 0);
    double b = vgetq_lane_f64(two, 1);
    return a > b ? a : b;
}

/* Zeros behind the row change no sum. */
void nb_any_error_neon(const float *x, const float *y, size_t dim,
                       struct nb_row_error *error)
{
    struct sums sums = {0};
    size_t i = 0;
    for (; i + 8 <= dim; i += 8) {
        add_values(&sums, x + i, y + i);
    }
    if (i < dim) {
        float last_x[8] = {0};
        float last_y[8] = {0};
        memcpy(last_x, x + i, (dim - i) * sizeof(*x));
        memcpy(last_y, y + i, (dim - i) * sizeof(*y));
        add_values(&sums, last_x, last_y);
    }
    error->sq_err = fold_sum(sums.sq_err);
    error->sq_x = fold_sum(sums.sq_x);
    error->sq_y = fold_sum(sums.sq_y);
    error->dot = fold_sum(sums.dot);
    error->max_abs = fold_max(sums.max_abs);
}
