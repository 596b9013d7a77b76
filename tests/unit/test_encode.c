/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <float.h>
#include <math.h>
#include <string.h>

#include "quant/nibble.h"
#include "tests/lib/run_suite.h"

#define Q4 1u

static uint32_t search_id(const char *name)
{
    uint32_t id = 0;
    ck_assert_int_eq(nb_search_by_name(name, &id), 0);
    return id;
}

static struct nb_format q4_format(uint32_t dim, uint32_t scales)
{
    return (struct nb_format){.codec = Q4, .dim = dim, .scales = scales};
}

/* ---- rows ------------------------------------------------------------ */

/* FBGEMM's own bytes for these rows. */
START_TEST(test_fbgemm_rows)
{
    static const struct {
        float x[4];
        uint32_t dim;
        uint8_t row[6];
    } rows[] = {
        {{0, 1, 2, 15}, 4, {0x10, 0xf2, 0x00, 0x3c, 0x00, 0x00}},
        {{-1, 0, 1}, 3, {0x80, 0x0f, 0x44, 0x30, 0x00, 0xbc}},
        {{0.3f, 0.3f, 0.3f, 0.3f}, 4, {0xff, 0xff, 0x37, 0x80, 0xcd, 0x34}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nb_format format = q4_format(rows[i].dim, NB_SCALES_FP16);
        uint8_t row[6];
        ck_assert_int_eq(nb_encode(&format, NULL, search_id("asym"), rows[i].x,
                                   1, row, sizeof(row)),
                         0);
        ck_assert_mem_eq(row, rows[i].row, sizeof(row));
    }
}
END_TEST

START_TEST(test_nothing_is_written_between_rows)
{
    float x[3 * 5];
    for (size_t i = 0; i < 15; i++) {
        x[i] = (float)(i * i % 11);
    }
    struct nb_format format = q4_format(5, NB_SCALES_FP16);
    uint8_t packed[3 * 7];
    ck_assert_int_eq(nb_encode(&format, NULL, 0, x, 3, packed, 7), 0);
    uint8_t spaced[1 + 3 * 11];
    memset(spaced, 0xa5, sizeof(spaced));
    ck_assert_int_eq(nb_encode(&format, NULL, 0, x, 3, spaced + 1, 11), 0);
    for (size_t i = 0; i < sizeof(spaced); i++) {
        size_t row = (i - 1) / 11;
        size_t at = (i - 1) % 11;
        uint8_t expected = i > 0 && at < 7 ? packed[row * 7 + at] : 0xa5;
        ck_assert_uint_eq(spaced[i], expected);
    }
}
END_TEST

/* Rows do not depend on their neighbours, on the split into calls, or on where
 * they stand in memory. */
START_TEST(test_rows_do_not_depend_on_the_split)
{
    enum {
        ROWS = 150,
        DIM = 13,
        BYTES = 11
    };
    static float x[ROWS * DIM];
    for (size_t i = 0; i < (size_t)ROWS * DIM; i++) {
        x[i] = sinf((float)(i * i));
    }
    for (uint32_t search = 0; nb_search_name(search) != NULL; search++) {
        struct nb_format format = q4_format(DIM, NB_SCALES_FP16);
        static uint8_t whole[ROWS * BYTES];
        static uint8_t split[ROWS * BYTES + 1];
        nb_encode(&format, NULL, search, x, ROWS, whole, BYTES);
        for (size_t row = 0, n = 1; row < ROWS; row += n, n = n % 29 + 1) {
            n = n < ROWS - row ? n : ROWS - row;
            nb_encode(&format, NULL, search, x + row * DIM, n,
                      split + 1 + row * BYTES, BYTES);
        }
        ck_assert_mem_eq(whole, split + 1, sizeof(whole));
    }
}
END_TEST

START_TEST(test_no_rows)
{
    struct nb_format format = q4_format(5, NB_SCALES_FP16);
    ck_assert_int_eq(nb_encode(&format, NULL, 0, NULL, 0, NULL, 7), 0);
    size_t at;
    ck_assert_int_eq(nb_check_values(&format, NULL, NULL, 0, &at), 0);
}
END_TEST

START_TEST(test_bad_arguments)
{
    static const float x[5];
    uint8_t row[7];
    struct nb_format format = q4_format(5, NB_SCALES_FP16);
    ck_assert_int_eq(nb_encode(&format, NULL, 0, x, 1, row, 6), NB_ERR_INVALID);
    ck_assert_int_eq(nb_encode(&format, NULL, 1000, x, 1, row, 7),
                     NB_ERR_INVALID);
    size_t at = 77;
    format.dim = 0;
    ck_assert_int_eq(nb_encode(&format, NULL, 0, x, 1, row, 7), NB_ERR_INVALID);
    ck_assert_int_eq(nb_check_values(&format, NULL, x, 1, &at), NB_ERR_INVALID);
    format = (struct nb_format){.codec = 99, .dim = 5};
    ck_assert_int_eq(nb_encode(&format, NULL, 0, x, 1, row, 7),
                     NB_ERR_UNSUPPORTED);
    ck_assert_int_eq(nb_check_values(&format, NULL, x, 1, &at),
                     NB_ERR_UNSUPPORTED);
    ck_assert_uint_eq(at, 77);
}
END_TEST

/* ---- checks ---------------------------------------------------------- */

enum {
    CHECK_ROWS = 9,
    CHECK_DIM = 23,
    CHECK_N = CHECK_ROWS * CHECK_DIM
};

/* The result with one value, in every place in turn. */
static void check_value(uint32_t scales, float value, int expected)
{
    static float x[CHECK_N];
    struct nb_format format = q4_format(CHECK_DIM, scales);
    for (size_t i = 0; i < CHECK_N; i++) {
        size_t at = SIZE_MAX;
        x[i] = value;
        ck_assert_int_eq(nb_check_values(&format, NULL, x, CHECK_ROWS, &at),
                         expected);
        ck_assert_uint_eq(at, expected == 0 ? SIZE_MAX : i);
        x[i] = 0;
    }
}

START_TEST(test_values_in_range)
{
    static const float values[] = {65504.0f, -65504.0f, 1e-45f, -0.0f};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        check_value(NB_SCALES_FP16, values[i], 0);
    }
    check_value(NB_SCALES_FP32, FLT_MAX / 4, 0);
    check_value(NB_SCALES_FP32, -FLT_MAX / 4, 0);
}
END_TEST

START_TEST(test_values_out_of_range)
{
    check_value(NB_SCALES_FP16, nextafterf(65504, INFINITY), NB_ERR_OVERFLOW);
    check_value(NB_SCALES_FP16, -65505, NB_ERR_OVERFLOW);
    check_value(NB_SCALES_FP32, nextafterf(FLT_MAX / 4, INFINITY),
                NB_ERR_OVERFLOW);
    check_value(NB_SCALES_FP32, -FLT_MAX, NB_ERR_OVERFLOW);
    for (uint32_t scales = 0; scales < 2; scales++) {
        check_value(scales, NAN, NB_ERR_NONFINITE);
        check_value(scales, -NAN, NB_ERR_NONFINITE);
        check_value(scales, INFINITY, NB_ERR_NONFINITE);
        check_value(scales, -INFINITY, NB_ERR_NONFINITE);
    }
}
END_TEST

START_TEST(test_the_first_offender_is_named)
{
    struct nb_format format = q4_format(100, NB_SCALES_FP16);
    static float x[200];
    x[120] = 1e6f;
    x[121] = NAN;
    x[199] = INFINITY;
    size_t at;
    ck_assert_int_eq(nb_check_values(&format, NULL, x, 2, &at),
                     NB_ERR_OVERFLOW);
    ck_assert_uint_eq(at, 120);
}
END_TEST

/* ---- error statistics ------------------------------------------------ */

static void check_same_error(const struct nb_row_error *got,
                             const struct nb_row_error *want)
{
    ck_assert(got->sq_err == want->sq_err);
    ck_assert(got->sq_x == want->sq_x);
    ck_assert(got->sq_y == want->sq_y);
    ck_assert(got->dot == want->dot);
    ck_assert(got->max_abs == want->max_abs);
}

/* Small integers: every sum is exact in any order. */
START_TEST(test_row_error_counts_every_column)
{
    for (size_t dim = 0; dim <= 70; dim++) {
        float x[70];
        float y[70];
        struct nb_row_error want = {0};
        for (size_t i = 0; i < dim; i++) {
            x[i] = (float)(i * 7 % 31) - 15;
            y[i] = (float)(i * 5 % 29) - 14;
            double error = (double)x[i] - (double)y[i];
            want.sq_err += error * error;
            want.sq_x += (double)x[i] * (double)x[i];
            want.sq_y += (double)y[i] * (double)y[i];
            want.dot += (double)x[i] * (double)y[i];
            want.max_abs = fmax(want.max_abs, fabs(error));
        }
        struct nb_row_error got;
        nb_row_error(x, y, dim, &got);
        check_same_error(&got, &want);
    }
}
END_TEST

/* Lanes whose sum shows in which order they were folded: each pair added too
 * early or too late loses or keeps another small term. */
START_TEST(test_row_error_folds_lanes_in_halves)
{
    static const double sq[8] = {0x1p106, 1, 0x1p53, 0, 0x1p53, 3, 1, 0x1p54};
    float x[8];
    static const float y[8];
    for (size_t i = 0; i < 8; i++) {
        x[i] = (float)sqrt(sq[i]);
    }
    double lane[8];
    for (size_t i = 0; i < 8; i++) {
        lane[i] = (double)x[i] * (double)x[i];
    }
    double want = ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
                  ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    struct nb_row_error got;
    nb_row_error(x, y, 8, &got);
    ck_assert(got.sq_err == want && got.sq_x == want);
    ck_assert(got.sq_y == 0 && got.dot == 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("encode");
    TCase *tcase = tcase_create("encode");
    tcase_add_test(tcase, test_fbgemm_rows);
    tcase_add_test(tcase, test_nothing_is_written_between_rows);
    tcase_add_test(tcase, test_rows_do_not_depend_on_the_split);
    tcase_add_test(tcase, test_no_rows);
    tcase_add_test(tcase, test_bad_arguments);
    tcase_add_test(tcase, test_values_in_range);
    tcase_add_test(tcase, test_values_out_of_range);
    tcase_add_test(tcase, test_the_first_offender_is_named);
    tcase_add_test(tcase, test_row_error_counts_every_column);
    tcase_add_test(tcase, test_row_error_folds_lanes_in_halves);
    suite_add_tcase(suite, tcase);
    return suite;
}
