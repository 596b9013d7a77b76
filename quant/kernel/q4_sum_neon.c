/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of q4 rows. Blocks of many rows are summed as integers, 32 columns at a
 * time: the codes of a row are multiplied with digits of 8 bits of its scale,
 * and the products added up in 16 bits, which hold those of 16 rows.
 */

#include "quant/kernel/q4_block.h"
#include "quant/kernel/q4_neon.h"

/* ---- scales and biases ----------------------------------------------- */

/* Four rows at a time: behind the last one of a job there are more. */
static void collect_half(const struct kernel_job *job, size_t at, size_t n,
                         struct q4_params *params)
{
    for (size_t i = 0; i < n; i += Q4_LANES) {
        const uint8_t *const *rows = job->rows + i;
        const uint32_t raw[Q4_LANES] = {
            get_u32(rows[0] + at), get_u32(rows[1] + at), get_u32(rows[2] + at),
            get_u32(rows[3] + at)};
        uint32x4_t both = vld1q_u32(raw);
        float16x4_t scales = vreinterpret_f16_u16(vmovn_u32(both));
        float16x4_t biases = vreinterpret_f16_u16(vshrn_n_u32(both, 16));
        vst1q_f32(params->scales + i, vcvt_f32_f16(scales));
        vst1q_f32(params->biases + i, vcvt_f32_f16(biases));
    }
}

static void collect(const struct kernel_job *job, size_t n,
                    struct q4_params *params)
{
    size_t at = q4_code_bytes(job->dim);

    if (job->scales == NB_SCALES_FP16) {
        collect_half(job, at, n, params);
    } else {
        q4_collect_single(job, at, n, params);
    }
    for (size_t i = 0; job->weights != NULL && i < n; i++) {
        params->scales[i] = job->weights[i] * params->scales[i];
        params->biases[i] = job->weights[i] * params->biases[i];
    }
}

/* The first n of 4, zeros behind. */
Q4_INLINE float32x4_t load_some(const float *from, size_t n)
{
    if (n >= Q4_LANES) {
        return vld1q_f32(from);
    }
    float some[Q4_LANES] = {0};
    memcpy(some, from, n * sizeof(*from));
    return vld1q_f32(some);
}

static float sum_of_biases(const float *biases, size_t n)
{
    float32x4_t lanes[Q4_BIAS_LANES / Q4_LANES] = {vdupq_n_f32(0)};

    for (size_t i = 0; i < n; i += Q4_LANES) {
        float32x4_t *four = &lanes[i % Q4_BIAS_LANES / Q4_LANES];
        *four = vaddq_f32(*four, load_some(biases + i, n - i));
    }
    float32x4_t four =
        vaddq_f32(vaddq_f32(lanes[0], lanes[2]), vaddq_f32(lanes[1], lanes[3]));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

static uint32_t survey(const float *scales, const float *biases, size_t n,
                       float *bias)
{
    uint32x4_t greatest = vdupq_n_u32(0);

    for (size_t i = 0; i < n; i += Q4_LANES) {
        float32x4_t size = vabsq_f32(load_some(scales + i, n - i));
        greatest = vmaxq_u32(greatest, vreinterpretq_u32_f32(size));
    }
    *bias = sum_of_biases(biases, n);
    return vmaxvq_u32(greatest);
}

/* ---- as floats ------------------------------------------------------- */

/* Few rows: a unit at a time. */
static void sum_as_floats(const struct kernel_job *job,
                          const struct q4_plan *plan, float *sums)
{
    const uint8_t *const *rows = job->rows + plan->first;
    const float32x4_t nothing = vdupq_n_f32(-0.0f); /* -0 + x is x */
    struct q4_tile tile;

    q4_tile_init(&tile, job, job->col, job->width);
    for (size_t i = 0; i < plan->n; i += 4) {
        kernel_prefetch_ahead(job, plan->first + i, 4);
    }
    for (unsigned u = 0; u < tile.units; u++) {
        struct q4_values sum = {{nothing, nothing, nothing, nothing}};
        for (size_t i = 0; i < plan->n; i++) {
            struct q4_values codes =
                q4_codes_of(q4_bytes(rows[i], &tile, u, tile.units));
#pragma GCC unroll 4
            for (unsigned k = 0; k < 4; k++) {
                sum.of[k] = vaddq_f32(
                    sum.of[k], vmulq_n_f32(codes.of[k], plan->scales[i]));
            }
        }
        q4_put(sums + (size_t)u * Q4_UNIT, sum);
    }
}

/* ---- as integers ----------------------------------------------------- */

static bool make_digits(const float *scales, size_t n, int e,
                        struct q4_digits *digits)
{
    static const uint8_t transpose[] = {0, 4, 8,  12, 1, 5, 9,  13,
                                        2, 6, 10, 14, 3, 7, 11, 15};
    const float factor = q4_power(Q4_SCALE_BITS - e);
    const int32x4_t half = vdupq_n_s32(0x808080);
    int32x4_t any = vdupq_n_s32(0);

    for (size_t i = 0; i < n; i += Q4_LANES) {
        float32x4_t scaled = vmulq_n_f32(load_some(scales + i, n - i), factor);
        int32x4_t whole = vcvtnq_s32_f32(scaled);
        any = vorrq_s32(any, whole);
        whole = veorq_s32(vaddq_s32(whole, half), half);
        vst1q_u8((uint8_t *)(digits + i),
                 vqtbl1q_u8(vreinterpretq_u8_s32(whole), vld1q_u8(transpose)));
    }
    return vmaxvq_u32(vtstq_s32(any, vdupq_n_s32(0xff))) != 0;
}

#define TILE_UNITS   2
#define TILE_COLUMNS (TILE_UNITS * Q4_UNIT)

/* Vectors of a tile: low and high nibbles of each unit. */
#define NIBBLES (2 * TILE_UNITS)

/* Of up to Q4_STEP rows, 16 x 15 x 128 at most: of digit d. */
struct step_sums {
    int16x8_t of[3][NIBBLES];
};

/* Of a bag: of the highest digits, and of the two others together. */
struct bag_sums {
    int32x4_t top[NIBBLES][2];
    int32x4_t rest[NIBBLES][2];
};

/* Constants where it is used. */
struct tile_shape {
    unsigned units;
    unsigned first_digit; /* 1 if digits 0 are all 0 */
};

/* A row's digits are 4 bytes apart. */
Q4_INLINE void add_row(const uint8_t *row, const struct q4_tile *tile,
                       const int8_t *digits, const struct tile_shape shape,
                       struct step_sums *sums)
{
#pragma GCC unroll 2
    for (unsigned u = 0; u < shape.units; u++) {
        uint8x8_t bytes = q4_bytes(row, tile, u, shape.units);
        int8x8_t low = vreinterpret_s8_u8(vand_u8(bytes, vdup_n_u8(0xf)));
        int8x8_t high = vreinterpret_s8_u8(vshr_n_u8(bytes, 4));
#pragma GCC unroll 3
        for (unsigned d = shape.first_digit; d < 3; d++) {
            int16x8_t *of = &sums->of[d][(size_t)2 * u];
            int8x8_t digit = vld1_dup_s8(digits + (size_t)4 * d);
            of[0] = vmlal_s8(of[0], low, digit);
            of[1] = vmlal_s8(of[1], high, digit);
        }
    }
}

Q4_INLINE void add_step(const struct step_sums *step,
                        const struct tile_shape shape, struct bag_sums *sums)
{
#pragma GCC unroll 4
    for (unsigned v = 0; v < 2 * shape.units; v++) {
        int16x8_t middle = step->of[1][v];
        int32x4_t low = vshll_n_s16(vget_low_s16(middle), 8);
        int32x4_t high = vshll_high_n_s16(middle, 8);
        if (shape.first_digit == 0) {
            low = vaddw_s16(low, vget_low_s16(step->of[0][v]));
            high = vaddw_high_s16(high, step->of[0][v]);
        }
        int16x8_t top = step->of[2][v];
        sums->rest[v][0] = vaddq_s32(sums->rest[v][0], low);
        sums->rest[v][1] = vaddq_s32(sums->rest[v][1], high);
        sums->top[v][0] = vaddw_s16(sums->top[v][0], vget_low_s16(top));
        sums->top[v][1] = vaddw_high_s16(sums->top[v][1], top);
    }
}

/* (top * 2^16 + rest) * unit, rounded once. */
Q4_INLINE float32x4_t to_float(int32x4_t top, int32x4_t rest, double unit)
{
    int64x2_t a =
        vaddw_s32(vshll_n_s32(vget_low_s32(top), 16), vget_low_s32(rest));
    int64x2_t b = vaddw_high_s32(vshll_high_n_s32(top, 16), rest);
    float64x2_t low = vmulq_n_f64(vcvtq_f64_s64(a), unit);
    float64x2_t high = vmulq_n_f64(vcvtq_f64_s64(b), unit);
    return vcvt_high_f32_f64(vcvt_f32_f64(low), high);
}

Q4_INLINE void write_sums(const struct bag_sums *sums, unsigned units,
                          int exponent, float *out)
{
    double unit = (double)q4_power(exponent - Q4_SCALE_BITS);

#pragma GCC unroll 4
    for (unsigned v = 0; v < 2 * units; v += 2) {
#pragma GCC unroll 2
        for (unsigned h = 0; h < 2; h++) {
            float32x4_t even =
                to_float(sums->top[v][h], sums->rest[v][h], unit);
            float32x4_t odd =
                to_float(sums->top[v + 1][h], sums->rest[v + 1][h], unit);
            vst1q_f32(out, vzip1q_f32(even, odd));
            vst1q_f32(out + Q4_LANES, vzip2q_f32(even, odd));
            out += 8;
        }
    }
}

Q4_INLINE void integer_tile(const struct kernel_job *job,
                            const struct q4_plan *plan,
                            const struct q4_tile *tile,
                            const struct tile_shape shape, float *out)
{
    const uint8_t *const *rows = job->rows + plan->first;
    const bool first_tile = tile->at == job->col / 2;
    struct bag_sums sums = {0};

    for (size_t i = 0; i < plan->n;) {
        size_t end = i + Q4_STEP < plan->n ? i + Q4_STEP : plan->n;
        struct step_sums step = {0};
        for (; i < end; i++) {
            const struct q4_digits *four = plan->digits + i / 4 * 4;
            if (first_tile && i % 4 == 0) {
                kernel_prefetch_ahead(job, plan->first + i, 4);
            }
            add_row(rows[i], tile, (const int8_t *)four + i % 4, shape, &step);
        }
        add_step(&step, shape, &sums);
    }
    write_sums(&sums, shape.units, plan->exponent, out);
}

#define TILE_FUNCTION(name, units, first_digit)                                \
    static void name(const struct kernel_job *job, const struct q4_plan *plan, \
                     const struct q4_tile *tile, float *out)                   \
    {                                                                          \
        const struct tile_shape shape = {units, first_digit};                  \
        integer_tile(job, plan, tile, shape, out);                             \
    }
TILE_FUNCTION(one_of_2, 1, 1)
TILE_FUNCTION(one_of_3, 1, 0)
TILE_FUNCTION(two_of_2, 2, 1)
TILE_FUNCTION(two_of_3, 2, 0)

/* By units less one, low digits. */
static void (*const tile_functions[TILE_UNITS][2])(const struct kernel_job *job,
                                                   const struct q4_plan *plan,
                                                   const struct q4_tile *tile,
                                                   float *out) = {
    {one_of_2, one_of_3}, {two_of_2, two_of_3}};

static void sum_as_integers(const struct kernel_job *job,
                            const struct q4_plan *plan, float *sums)
{
    for (uint32_t j = 0; j < job->width; j += TILE_COLUMNS) {
        uint32_t left = job->width - j;
        struct q4_tile tile;
        q4_tile_init(&tile, job, job->col + j,
                     left < TILE_COLUMNS ? left : TILE_COLUMNS);
        tile_functions[tile.units - 1][plan->low_digits](job, plan, &tile,
                                                         sums + j);
    }
}

/* ---- bags ------------------------------------------------------------ */

static unsigned sum_some(const struct kernel_job *job,
                         const struct q4_plan *plans, size_t n_bags,
                         struct q4_sums *sums)
{
    (void)n_bags;
    sums->stride = KERNEL_TILE_MAX;
    if (plans->integers) {
        sum_as_integers(job, plans, sums->values);
    } else {
        sum_as_floats(job, plans, sums->values);
    }
    return 1;
}

/* Values from j on, with the bias, the state taken up, and divided. */
Q4_INLINE float32x4_t result_of(const struct kernel_job *job, const float *sums,
                                size_t j, float bias, float divisor)
{
    float32x4_t value = vaddq_f32(vld1q_f32(sums + j), vdupq_n_f32(bias));
    if (job->resume) {
        value = vaddq_f32(vld1q_f32(job->sums->values + j), value);
    }
    if (job->suspend) {
        vst1q_f32(job->sums->values + j, value);
    }
    return divisor > 0 ? vdivq_f32(value, vdupq_n_f32(divisor)) : value;
}

static void finish(const struct kernel_job *job, const float *sums, float bias,
                   float divisor, uint8_t *out)
{
    size_t value_bytes = job->dtype == NB_FP32 ? 4 : 2;

    for (uint32_t j = 0; j < job->width; j += Q4_UNIT) {
        struct q4_values values;
#pragma GCC unroll 4
        for (unsigned k = 0; k < 4; k++) {
            values.of[k] =
                result_of(job, sums, j + k * Q4_LANES, bias, divisor);
        }
        if (!job->suspend) {
            q4_store(out + j * value_bytes, job->dtype, values, job->width - j);
        }
    }
}

#include "quant/kernel/q4_sum_template.h"

void nb_q4_sum_neon(const struct kernel_job *job)
{
    if (q4_too_short(job)) {
        nb_q4_sum_scalar(job);
        return;
    }
    sum_bags(job);
}
