/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <immintrin.h>
#include <string.h>

#include "quant/kernel/kernels.h"

/* Eight lanes. */
struct sum {
    __m256d low;
    __m256d high;
};

struct sums {
    struct sum sq_err;
    struct sum sq_x;
    struct sum sq_y;
    struct sum dot;
    struct sum max_abs;
};

static inline void add_product(struct sum *sum, struct sum a, struct sum b)
{
    sum->low = _mm256_add_pd(sum->low, _mm256_mul_pd(a.low, b.low));
    sum->high = _mm256_add_pd(sum->high, _mm256_mul_pd(a.high, b.high));
}

static inline struct sum load(const float *x)
{
    return (struct sum){_mm256_cvtps_pd(_mm_loadu_ps(x)),
                        _mm256_cvtps_pd(_mm_loadu_ps(x + 4))};
}

static inline void add_values(struct sums *sums, const float *x, const float *y)
{
    struct sum a = load(x);
    struct sum b = load(y);
    struct sum e = {_mm256_sub_pd(a.low, b.low), _mm256_sub_pd(a.high, b.high)};
    add_product(&sums->sq_err, e, e);
    add_product(&sums->sq_x, a, a);
    add_product(&sums->sq_y, b, b);
    add_product(&sums->dot, a, b);
    __m256d sign = _mm256_set1_pd(-0.0);
    sums->max_abs.low =
        _mm256_max_pd(_mm256_andnot_pd(sign, e.low), sums->max_abs.low);
    sums->max_abs.high =
        _mm256_max_pd(_mm256_andnot_pd(sign, e.high), sums->max_abs.high);
}

/* Folds the upper half of the lanes onto the lower, three times. */
static inline double fold_sum(struct sum sum)
{
    __m256d four = _mm256_add_pd(sum.low, sum.high);
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four),
                             _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

static inline double fold_max(struct sum sum)
{
    __m256d four = _mm256_max_pd(sum.low, sum.high);
    __m128d two = _mm_max_pd(_mm256_castpd256_pd128(four),
                             _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_max_sd(two, _mm_unpackhi_pd(two, two)));
}

/* Zeros behind the row change no sum. */
void nb_any_error_avx2(const float *x, const float *y, size_t dim,
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
