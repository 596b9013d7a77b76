/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <math.h>

#include "quant/half.h"
#include "tests/lib/run_suite.h"

#define HALF_INF 0x7c00u

/* The value of a positive fp16 by its definition. */
static double half_value(uint32_t half)
{
    int exponent = (int)(half >> 10);
    double fraction = half & 0x3ffu;
    return exponent == 0 ? ldexp(fraction, -24)
                         : ldexp(fraction + 1024, exponent - 25);
}

static void check_both_signs(double value, uint32_t half)
{
    ck_assert_uint_eq(half_from_float((float)value), half);
    ck_assert_uint_eq(half_from_float(-(float)value), half | 0x8000u);
}

START_TEST(test_every_half_to_float)
{
    for (uint32_t half = 0; half < HALF_INF; half++) {
        float value = half_to_float((uint16_t)half);
        ck_assert(value == half_value(half) && !signbit(value));
        ck_assert_uint_eq(float_bits(half_to_float((uint16_t)(half | 0x8000u))),
                          float_bits(-value));
    }
}
END_TEST

/* Rounding is monotonic, so these five points of every interval between
 * neighbours fix it everywhere; an fp32 holds them all. */
START_TEST(test_rounding_between_every_two_halves)
{
    for (uint32_t half = 0; half < HALF_INF; half++) {
        double low = half_value(half);
        double high = half_value(half + 1); /* 65536 above the greatest */
        float middle = (float)((low + high) / 2);
        check_both_signs(low, half);
        check_both_signs(nextafterf((float)low, INFINITY), half);
        check_both_signs(nextafterf(middle, 0), half);
        check_both_signs(middle, half + (half & 1u));
        check_both_signs(nextafterf(middle, INFINITY), half + 1);
    }
    check_both_signs(INFINITY, HALF_INF);
    check_both_signs((double)0x1.fffffep127f, HALF_INF);
}
END_TEST

START_TEST(test_half_nan_turns_quiet)
{
    for (uint32_t half = HALF_INF + 1; half <= 0x7fffu; half++) {
        float value = half_to_float((uint16_t)half);
        ck_assert(isnan(value));
        ck_assert_uint_eq(float_bits(value), 0x7fc00000u | (half & 0x3ffu)
                                                               << 13);
        ck_assert_uint_eq(half_from_float(value), half | 0x200u);
    }
    /* A payload wholly in the bits cut off is still a NaN. */
    ck_assert_uint_eq(half_from_float(float_from_bits(0x7f800001u)), 0x7e00u);
    ck_assert_uint_eq(half_from_float(float_from_bits(0xff800001u)), 0xfe00u);
    ck_assert_uint_eq(float_bits(half_to_float(HALF_INF)), 0x7f800000u);
}
END_TEST

START_TEST(test_bf16)
{
    for (uint32_t bits = 0; bits < 0x7f80u; bits++) {
        uint32_t wide = bits << 16;
        ck_assert_uint_eq(float_bits(bf16_to_float((uint16_t)bits)), wide);
        ck_assert_uint_eq(bf16_from_float(float_from_bits(wide)), bits);
        ck_assert_uint_eq(bf16_from_float(float_from_bits(wide | 0x7fffu)),
                          bits);
        ck_assert_uint_eq(bf16_from_float(float_from_bits(wide | 0x8000u)),
                          bits + (bits & 1u));
        ck_assert_uint_eq(bf16_from_float(float_from_bits(wide | 0x8001u)),
                          bits + 1);
        ck_assert_uint_eq(bf16_from_float(float_from_bits(wide | 0x80008001u)),
                          (bits + 1) | 0x8000u);
    }
    ck_assert_uint_eq(bf16_from_float(INFINITY), 0x7f80u);
    ck_assert_uint_eq(bf16_from_float(float_from_bits(0x7f800001u)), 0x7fc0u);
    ck_assert_uint_eq(bf16_from_float(float_from_bits(0xffffffffu)), 0xffffu);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("half");
    TCase *tcase = tcase_create("half");
    tcase_add_test(tcase, test_every_half_to_float);
    tcase_add_test(tcase, test_rounding_between_every_two_halves);
    tcase_add_test(tcase, test_half_nan_turns_quiet);
    tcase_add_test(tcase, test_bf16);
    suite_add_tcase(suite, tcase);
    return suite;
}
