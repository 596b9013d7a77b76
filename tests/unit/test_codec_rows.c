/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows of the codecs that know no search, byte by byte, and how near they come.
 */

#include <math.h>
#include <string.h>

#include "quant/codec/codec.h"
#include "quant/codec/kmeans.h"
#include "quant/nibble.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"

#define MAX_DIM 8200

static struct rng rng = {7};

static double gaussian(void)
{
    double u = 1 - rng_unit(&rng);
    return sqrt(-2 * log(u)) * cos(2 * M_PI * rng_unit(&rng));
}

static void encode(uint32_t codec, uint32_t scales, const float *x,
                   uint32_t dim, uint8_t *row)
{
    struct nb_format format = {codec, dim, scales};
    size_t bytes;
    ck_assert_int_eq(nb_row_bytes(&format, &bytes), 0);
    ck_assert_int_eq(nb_encode(&format, NULL, 0, x, 1, row, bytes), 0);
}

static void decode(uint32_t codec, uint32_t scales, const uint8_t *row,
                   uint32_t dim, float *y)
{
    struct nb_rows rows = {
        .format = {codec, dim, scales}, .base = row, .n_rows = 1};
    ck_assert_int_eq(nb_row_bytes(&rows.format, &rows.stride), 0);
    ck_assert_int_eq(nb_decode(&rows, 0, 1, NB_FP32, y), 0);
}

static void check_row(uint32_t codec, uint32_t scales, const float *x,
                      uint32_t dim, const uint8_t *want)
{
    struct nb_format format = {codec, dim, scales};
    uint8_t row[64];
    size_t bytes;
    ck_assert_int_eq(nb_row_bytes(&format, &bytes), 0);
    encode(codec, scales, x, dim, row);
    ck_assert_mem_eq(row, want, bytes);
}

/* The first row is FBGEMM's own. */
START_TEST(test_q8_bytes)
{
    static const float extremes[] = {0, 255};
    static const uint8_t fbgemm[] = {0, 255, 0, 0, 0x80, 0x3f, 0, 0, 0, 0};
    check_row(CODEC_q8, NB_SCALES_FP32, extremes, 2, fbgemm);
    static const uint8_t half[] = {0, 255, 0, 0x3c, 0, 0};
    check_row(CODEC_q8, NB_SCALES_FP16, extremes, 2, half);
    /* Ties go to the even code. */
    static const float ties[] = {-1, 254, -0.5f, 0.5f, 1.5f};
    static const uint8_t even[] = {0,    255,  0, 2, 2,    0,   0,
                                   0x80, 0x3f, 0, 0, 0x80, 0xbf};
    check_row(CODEC_q8, NB_SCALES_FP32, ties, 5, even);
    static const float constant[] = {3, 3};
    static const uint8_t same[] = {0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0x40, 0x40};
    check_row(CODEC_q8, NB_SCALES_FP32, constant, 2, same);
}
END_TEST

/* A bias rounded up past a constant row's value makes the scale negative. */
START_TEST(test_q8_of_a_constant_row)
{
    static const float x[] = {0.3f, 0.3f};
    uint8_t row[6];
    float y[2];
    encode(CODEC_q8, NB_SCALES_FP16, x, 2, row);
    decode(CODEC_q8, NB_SCALES_FP16, row, 2, y);
    ck_assert_double_le(fabs((double)y[0] - (double)x[0]), 0x1p-18);
}
END_TEST

START_TEST(test_floats_are_kept)
{
    static const float x[] = {0.1f, -0.0f, 65504, -3e-8f, 1.0f / 3};
    uint8_t row[20];
    float y[5];
    encode(CODEC_fp32, NB_SCALES_FP32, x, 5, row);
    ck_assert_mem_eq(row, x, sizeof(x));
    decode(CODEC_fp32, NB_SCALES_FP32, row, 5, y);
    ck_assert_mem_eq(y, x, sizeof(x));
    static const float halves[] = {0.5f, -0.0f, 65504, -0x1p-24f, 0x1.554p-2f};
    encode(CODEC_fp16, NB_SCALES_FP16, x, 5, row);
    decode(CODEC_fp16, NB_SCALES_FP16, row, 5, y);
    ck_assert_double_le(fabs((double)y[0] - 0.1), 0x1p-15);
    encode(CODEC_fp16, NB_SCALES_FP16, halves, 5, row);
    decode(CODEC_fp16, NB_SCALES_FP16, row, 5, y);
    ck_assert_mem_eq(y, halves, sizeof(halves));
}
END_TEST

/* ---- k-means --------------------------------------------------------- */

START_TEST(test_kmeans_keeps_few_values)
{
    for (uint32_t distinct = 1; distinct <= 16; distinct++) {
        for (uint32_t dim = distinct; dim < 300; dim += 41) {
            float x[300];
            float y[300];
            uint8_t row[300];
            for (uint32_t i = 0; i < dim; i++) {
                /* Next to each other, and far away. */
                uint32_t k = i % distinct;
                x[i] = k == 15 ? 60000 : 1 + (float)k * 0x1p-10f;
            }
            encode(CODEC_q4_kmeans, NB_SCALES_FP16, x, dim, row);
            decode(CODEC_q4_kmeans, NB_SCALES_FP16, row, dim, y);
            for (uint32_t i = 0; i < dim; i++) {
                ck_assert(y[i] == x[i]);
            }
        }
    }
}
END_TEST

/* Squared error of sorted values with each cut after cuts[0..14]. */
static double cost_of_parts(const float *sorted, size_t n, const size_t *cuts)
{
    double cost = 0;
    size_t begin = 0;
    for (size_t k = 0; k < 16; k++) {
        size_t end = k < 15 ? cuts[k] : n;
        double mean = 0;
        for (size_t i = begin; i < end; i++) {
            mean += (double)sorted[i] / (double)(end - begin);
        }
        for (size_t i = begin; i < end; i++) {
            cost += ((double)sorted[i] - mean) * ((double)sorted[i] - mean);
        }
        begin = end;
    }
    return cost;
}

/* The next choice of 15 ascending cuts in 1..n-1; false past the last. */
static bool next_cuts(size_t *cuts, size_t n)
{
    size_t k = 15;
    while (k-- > 0) {
        if (cuts[k] < n - 15 + k) {
            cuts[k]++;
            for (size_t l = k + 1; l < 15; l++) {
                cuts[l] = cuts[l - 1] + 1;
            }
            return true;
        }
    }
    return false;
}

static double least_cost(const float *sorted, size_t n)
{
    size_t cuts[15];
    for (size_t k = 0; k < 15; k++) {
        cuts[k] = k + 1;
    }
    double least = INFINITY;
    do {
        least = fmin(least, cost_of_parts(sorted, n, cuts));
    } while (next_cuts(cuts, n));
    return least;
}

static double cost_of_levels(const float *x, size_t n, const float *levels)
{
    double cost = 0;
    for (size_t i = 0; i < n; i++) {
        double error =
            (double)x[i] - (double)levels[kmeans_nearest(x[i], levels)];
        cost += error * error;
    }
    return cost;
}

static void random_ascending(float *sorted, size_t n)
{
    float at = (float)(gaussian() * 10);
    for (size_t i = 0; i < n; i++) {
        double step = gaussian();
        at += (float)(step * step * step * step);
        sorted[i] = at;
    }
}

/* Against every way to part up to 21 sorted values. */
START_TEST(test_kmeans_is_optimal)
{
    for (size_t n = 17; n <= 21; n++) {
        for (size_t turn = 0; turn < 12; turn++) {
            float sorted[21];
            float x[21];
            float levels[16];
            random_ascending(sorted, n);
            memcpy(x, sorted, sizeof(x));
            for (size_t i = n - 1; i > 0; i--) {
                size_t j = rng_below(&rng, i + 1);
                float swap = x[i];
                x[i] = x[j];
                x[j] = swap;
            }
            kmeans_levels(x, n, levels, 16);
            double least = least_cost(sorted, n);
            ck_assert_double_le(cost_of_levels(x, n, levels),
                                least * (1 + 1e-5) + 1e-9);
        }
    }
}
END_TEST

START_TEST(test_nearest_level)
{
    static const float levels[16] = {-8, -7, -6, -5, -4, -3, -2, -1,
                                     0,  1,  2,  4,  4,  4,  4,  4};
    ck_assert_uint_eq(kmeans_nearest(-100, levels), 0);
    ck_assert_uint_eq(kmeans_nearest(-6.5f, levels), 1);
    ck_assert_uint_eq(kmeans_nearest(-6.4f, levels), 2);
    ck_assert_uint_eq(kmeans_nearest(3.1f, levels), 11);
    ck_assert_uint_eq(kmeans_nearest(4, levels), 11);
    ck_assert_uint_eq(kmeans_nearest(100, levels), 15);
    /* Of two adjacent numbers, each is its own. */
    float near[16];
    for (size_t i = 0; i < 16; i++) {
        near[i] = i == 0 ? 1 : nextafterf(near[i - 1], 2);
    }
    for (size_t i = 0; i < 16; i++) {
        ck_assert_uint_eq(kmeans_nearest(near[i], near), i);
    }
}
END_TEST

/* Rows longer than the exact plan takes are near the density's optimum: the
 * squared error of 16 levels for a Gaussian is .009497 (Max 1960). */
START_TEST(test_kmeans_of_long_rows)
{
    static float x[MAX_DIM];
    static const size_t dims[] = {4096, 4097, MAX_DIM};
    for (size_t d = 0; d < 3; d++) {
        float levels[16];
        for (size_t i = 0; i < dims[d]; i++) {
            x[i] = (float)gaussian();
        }
        kmeans_levels(x, dims[d], levels, 16);
        double error = cost_of_levels(x, dims[d], levels) / (double)dims[d];
        ck_assert_double_eq_tol(error, 0.0095, 0.0006);
        for (size_t i = 1; i < 16; i++) {
            ck_assert(levels[i] > levels[i - 1]);
        }
    }
}
END_TEST

/* Values that nb_check_values would refuse do no harm. */
START_TEST(test_values_out_of_range)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 0};
    for (size_t turn = 0; turn < 200; turn++) {
        float x[70];
        uint8_t row[4 * 70 + 8];
        for (size_t i = 0; i < 70; i++) {
            x[i] = rng_below(&rng, 2) ? (float)gaussian()
                                      : odd[rng_below(&rng, 6)];
        }
        for (uint32_t codec = CODEC_q8; codec <= CODEC_q4_kmeans; codec++) {
            encode(codec, codec_by_id(codec)->default_scales, x, 70, row);
        }
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("codec rows");
    TCase *tcase = tcase_create("codec rows");
    tcase_add_test(tcase, test_q8_bytes);
    tcase_add_test(tcase, test_q8_of_a_constant_row);
    tcase_add_test(tcase, test_floats_are_kept);
    tcase_add_test(tcase, test_kmeans_keeps_few_values);
    tcase_add_test(tcase, test_kmeans_is_optimal);
    tcase_add_test(tcase, test_nearest_level);
    tcase_add_test(tcase, test_kmeans_of_long_rows);
    tcase_add_test(tcase, test_values_out_of_range);
    suite_add_tcase(suite, tcase);
    return suite;
}
