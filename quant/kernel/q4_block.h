/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of q4 rows, the parts that all instruction sets share. The arithmetic is
 * that of storage/FORMAT.md, "Arithmetic": a bag is summed in blocks of
 * KERNEL_BLOCK ids; a block of Q4_FEW rows or more in integers, which is exact
 * but for one rounding of each scale, and otherwise in floats.
 */
#ifndef NB_QUANT_Q4_BLOCK_H
#define NB_QUANT_Q4_BLOCK_H

#include "quant/bytes.h"
#include "quant/half.h"
#include "quant/kernel/kernels.h"

/* Fewer rows than this are summed in floats. */
#define Q4_FEW 8

/* Bits of a scale in integer form; the least unit is 2^(Q4_MIN_EXPONENT -
 * Q4_SCALE_BITS). */
#define Q4_SCALE_BITS   22
#define Q4_MIN_EXPONENT (-100)

/* Biases of a block in integers are summed by their place modulo this, then
 * halves of these sums onto each other. */
#define Q4_BIAS_LANES 16

/* Scales and biases of a job's rows, times the weights. Padded, so that whole
 * vectors can be loaded and stored. */
struct q4_params {
    _Alignas(64) float scales[KERNEL_BLOCK + 16];
    _Alignas(64) float biases[KERNEL_BLOCK + 16];
};

/* The integer of a row's scale as three signed digits of 8 bits, those of four
 * rows together: of rows 4i to 4i + 3, digit d is in element 4i + d, a byte
 * each; element 4i + 3 is 0. */
struct q4_digits {
    uint32_t of_four;
};

#define Q4_STEP       16 /* rows whose digits are made at once */
#define Q4_MAX_DIGITS (2 * KERNEL_BLOCK) /* bags of Q4_FEW rows take a step */

/* How a bag (or part of one) is summed. */
struct q4_plan {
    size_t first;        /* row of the job */
    size_t n;            /* rows */
    const float *scales; /* of the rows */
    const struct q4_digits *digits;
    float bias; /* sum of the biases */
    int exponent;
    bool integers;
    bool low_digits; /* the lowest digits are not all 0 */
};

/* Sums of one or more bags, `stride` values apart. */
struct q4_sums {
    _Alignas(64) float values[KERNEL_TILE_MAX];
    size_t stride;
};

/* Collects fp32 scales and biases, without weights. */
static inline void q4_collect_single(const struct kernel_job *job, size_t at,
                                     size_t n, struct q4_params *params)
{
    for (size_t i = 0; i < n; i++) {
        params->scales[i] = get_f32(job->rows[i] + at);
        params->biases[i] = get_f32(job->rows[i] + at + 4);
    }
}

/* Of the bits of an absolute value. */
static inline bool q4_is_finite(uint32_t bits)
{
    return bits < 0x7f800000u;
}

/* Exponent e of the unit 2^(e - Q4_SCALE_BITS): the least that all scales are
 * below 2^e. */
static inline int q4_exponent(uint32_t greatest)
{
    int e = (int)(greatest >> 23) - 126;
    return e > Q4_MIN_EXPONENT ? e : Q4_MIN_EXPONENT;
}

/* 2^e, of a normal number. */
static inline float q4_power(int e)
{
    return float_from_bits((uint32_t)(e + 127) << 23);
}

#endif
