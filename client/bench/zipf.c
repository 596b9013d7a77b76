/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Rejection-inversion (W. Hörmann, G. Derflinger, "Rejection-inversion to
 * generate variates from monotone discrete distributions", 1996). x^-s is
 * inverted as if it were continuous, and the part of each rank's unit of area
 * that is above its probability is rejected: below one try in ten, for any n.
 */
#include "client/bench/zipf.h"

#include <math.h>

/* (e^x - 1) / x and ln(1 + x) / x, exact also around 0: s near 1. */
static double expm1_over(double x)
{
    return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

static double log1p_over(double x)
{
    return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

/* The integral of x^-s from 1 to x. */
static double area_to(double s, double x)
{
    double log_x = log(x);
    return expm1_over((1 - s) * log_x) * log_x;
}

/* Where that integral is `area`. */
static double x_of_area(double s, double area)
{
    double t = area * (1 - s);
    if (t < -1) {
        t = -1; /* rounding, at the far end of s > 1 */
    }
    return exp(log1p_over(t) * area);
}

static double weight(double s, double rank)
{
    return exp(-s * log(rank));
}

void zipf_init(struct zipf *zipf, uint64_t n, double s)
{
    *zipf = (struct zipf){
        .s = s,
        .n = (double)n,
        .area_first = area_to(s, 1.5) - 1,
        .area_all = area_to(s, (double)n + 0.5),
        .sure = 2 - x_of_area(s, area_to(s, 2.5) - weight(s, 2)),
    };
}

uint64_t zipf_rank(const struct zipf *zipf, struct random_stream *random)
{
    for (;;) {
        double area = zipf->area_all +
                      random_unit(random) * (zipf->area_first - zipf->area_all);
        double x = x_of_area(zipf->s, area);
        double rank = fmin(fmax(floor(x + 0.5), 1), zipf->n);
        if (rank - x <= zipf->sure ||
            area >= area_to(zipf->s, rank + 0.5) - weight(zipf->s, rank)) {
            return (uint64_t)rank - 1;
        }
    }
}
