/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows times a power of two are encoded as the rows are, however great or small
 * they become: with fp32 scales all of that is exact. */
#include <math.h>

#include "quant/nibble.h"
#include "tests/lib/kernel_checks.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"

#define N_ROWS  ((size_t)19) /* more than are encoded together */
#define MAX_DIM ((size_t)600)

static const char *const codecs[] = {"q4-shared", "q4-shared8", "q4-trellis"};
static const uint32_t dims[] = {1, 8, 32, MAX_DIM};

static float x[N_ROWS * MAX_DIM];
static float z[N_ROWS * MAX_DIM];
static float decoded[N_ROWS * MAX_DIM];
static float expected[N_ROWS * MAX_DIM];
static uint8_t memory[N_ROWS * (MAX_DIM + 8)];
static uint8_t work[1 << 24];
static float levels[NB_LEVELS_MAX * 8];

static void encode(const struct nb_format *format,
                   const struct nb_params *params, const float *values,
                   float *out)
{
    size_t bytes;
    ck_assert_int_eq(nb_row_bytes(format, &bytes), 0);
    ck_assert_int_eq(
        nb_encode(format, params, 0, values, N_ROWS, memory, bytes), 0);
    const struct nb_rows rows = {.format = *format,
                                 .base = memory,
                                 .n_rows = N_ROWS,
                                 .stride = bytes,
                                 .params = params};
    ck_assert_int_eq(nb_decode(&rows, 0, N_ROWS, NB_FP32, out), 0);
}

static void train(const struct nb_format *format, struct nb_params *params)
{
    const struct nb_training training = {
        .format = *format, .z = x, .n_rows = N_ROWS};
    size_t bytes;
    ck_assert_int_eq(nb_train_sizes(&training, params, &bytes), 0);
    ck_assert_uint_le(bytes, sizeof(work));
    ck_assert_uint_le((size_t)params->n_codebooks * params->n_levels,
                      sizeof(levels) / sizeof(levels[0]));
    ck_assert_int_eq(nb_train(&training, work, levels), 0);
    params->codebooks = levels;
}

START_TEST(powers_of_two)
{
    static const int powers[] = {-100, -80, -40, -31, -20, 40, 51, 63, 80, 120};
    struct rng rng = {.state = kernel_checks_seed()};
    struct nb_format format = {.dim = dims[_i], .scales = NB_SCALES_FP32};
    size_t n = N_ROWS * format.dim;

    for (size_t i = 0; i < n; i++) { /* a row of them constant */
        x[i] = i < format.dim ? 3 : (float)(rng_unit(&rng) + rng_unit(&rng));
    }
    for (size_t c = 0; c < sizeof(codecs) / sizeof(codecs[0]); c++) {
        struct nb_params params;
        ck_assert_int_eq(nb_codec_by_name(codecs[c], &format.codec), 0);
        train(&format, &params);
        encode(&format, &params, x, expected);
        for (size_t p = 0; p < sizeof(powers) / sizeof(powers[0]); p++) {
            for (size_t i = 0; i < n; i++) {
                z[i] = ldexpf(x[i], powers[p]);
            }
            encode(&format, &params, z, decoded);
            for (size_t i = 0; i < n; i++) {
                float wanted = ldexpf(expected[i], powers[p]);
                ck_assert_msg(decoded[i] == wanted,
                              "%s, 2^%d, value %zu: %.9g, not %.9g", codecs[c],
                              powers[p], i, (double)decoded[i], (double)wanted);
            }
        }
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("row_magnitude");
    TCase *tests = tcase_create("encoders");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, powers_of_two, 0, 4);
    suite_add_tcase(suite, tests);
    return suite;
}
