/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/float_kinds.h"

#include <math.h>

static float odd_float(struct rng *rng)
{
    static const float odd[] = {0.0f,      -0.0f,      -1.0f,     1.0f,
                                0x1p-149f, -0x1p-130f, 0x1p-126f, 3e38f,
                                -3e38f,    INFINITY,   -INFINITY, NAN};
    return odd[rng_below(rng, sizeof(odd) / sizeof(odd[0]))];
}

static float usual_float(struct rng *rng)
{
    return (float)ldexp(rng_unit(rng) * 2 - 1, (int)rng_below(rng, 8) - 4);
}

static float far_float(struct rng *rng)
{
    static const float far[] = {0x1p-149f, -0x1p-130f, 0x1p-126f, -0x1p-24f,
                                6e4f,      0x1p100f,   3e38f,     -3e38f};
    return far[rng_below(rng, sizeof(far) / sizeof(far[0]))];
}

float float_of_kind(struct rng *rng, enum float_kind kind)
{
    switch (kind) {
    case NARROW:
        return (float)(0.5 + rng_unit(rng) / 2);
    case EXTREME:
        return (float)(rng_below(rng, 8) == 0 ? 0x1p-11 - 1 : 1 - 0x1p-11);
    case FAR:
        return rng_below(rng, 16) == 0 ? far_float(rng) : usual_float(rng);
    case ODD:
        if (rng_below(rng, 4) == 0) {
            return odd_float(rng);
        }
        return usual_float(rng);
    default:
        return usual_float(rng);
    }
}
