/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/row_kinds.h"

#include <math.h>

#define LARGEST 65504.0

double rng_normal(struct rng *rng)
{
    double radius = sqrt(-2 * log(1 - rng_unit(rng)));
    return radius * cos(6.283185307179586 * rng_unit(rng));
}

static float gaussian(struct rng *rng, float scale)
{
    return scale * (float)rng_normal(rng);
}

static float laplace(struct rng *rng, float scale)
{
    double size = -log(1 - rng_unit(rng));
    return scale * (float)(rng_below(rng, 2) != 0 ? size : -size);
}

/* All on one side: a greedy search moves one end only, as far as it can. */
static float skewed(struct rng *rng, float scale)
{
    return -scale * (float)log(1 - rng_unit(rng));
}

static float student_t3(struct rng *rng, float scale)
{
    double chi = 0;
    for (int i = 0; i < 3; i++) {
        double normal = rng_normal(rng);
        chi += normal * normal;
    }
    return scale * (float)(rng_normal(rng) / sqrt(chi / 3));
}

static float uniform(struct rng *rng, float scale)
{
    return scale * (float)rng_unit(rng);
}

static float constant(struct rng *rng, float scale)
{
    (void)rng;
    return 0.3f * scale;
}

/* Some ulps around the scale, or so many that bins differ again. */
static float near_constant(struct rng *rng, float scale)
{
    return scale * (1 + (float)rng_below(rng, 300) * 0x1p-23f);
}

static float shifted(struct rng *rng, float scale)
{
    return scale * (1 + 0.02f * (float)rng_normal(rng));
}

/* Around the least numbers of fp16; of fp32 now and then. */
static float subnormal(struct rng *rng, float scale)
{
    double size = rng_below(rng, 8) == 0 ? 0x1p-148 : 0x1p-23;
    return (float)(size * (double)scale * rng_normal(rng));
}

static float huge(struct rng *rng, float scale)
{
    (void)scale;
    return (float)(LARGEST * (2 * rng_unit(rng) - 1));
}

static float two_signed_zeros(struct rng *rng, float scale)
{
    static const float values[] = {0, -0.0f, 1, 2};
    return scale * values[rng_below(rng, 4)];
}

static float few_values(struct rng *rng, float scale)
{
    return scale * ((float)rng_below(rng, 4) - 1.5f);
}

/* Steps of a sixteenth: codes exactly half way between two levels. */
static float lattice(struct rng *rng, float scale)
{
    return scale * (float)rng_below(rng, 241) / 16;
}

static float outliers(struct rng *rng, float scale)
{
    return scale * (float)(rng_normal(rng) * (rng_below(rng, 16) ? 1 : 100));
}

static const struct row_kind kinds[] = {
    {"gaussian", gaussian},
    {"laplace", laplace},
    {"skewed", skewed},
    {"student t3", student_t3},
    {"uniform", uniform},
    {"constant", constant},
    {"near constant", near_constant},
    {"shifted", shifted},
    {"subnormal", subnormal},
    {"huge", huge},
    {"two signed zeros", two_signed_zeros},
    {"few values", few_values},
    {"lattice", lattice},
    {"outliers", outliers},
};

const struct row_kind *row_kind_at(size_t i)
{
    return i < sizeof(kinds) / sizeof(kinds[0]) ? &kinds[i] : NULL;
}

void row_kind_fill(const struct row_kind *kind, struct rng *rng, float *x,
                   size_t dim)
{
    float scale = ldexpf(1, (int)rng_below(rng, 16) - 8);
    scale = rng_below(rng, 2) != 0 ? scale : -scale;
    for (size_t i = 0; i < dim; i++) {
        float value = kind->value(rng, scale);
        x[i] = fminf(fmaxf(value, (float)-LARGEST), (float)LARGEST);
    }
}
