/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows of the numpy oracle (golden/make_greedy.py), and the loss over the whole
 * GloVe sample, which PyTorch's own packing gives too. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "quant/codec/q4.h"
#include "quant/nibble.h"
#include "tests/lib/run_suite.h"

#define GOLDEN     "tests/golden/greedy_rows.txt"
#define GLOVE      "tests/data/glove-6B-50d-head.txt"
#define GLOVE_ROWS 2444
#define GLOVE_DIM  50
#define MAX_DIM    128
#define MAX_ROW    (MAX_DIM / 2 + 8)

static float glove[GLOVE_ROWS][GLOVE_DIM];

static void load_glove(void)
{
    FILE *file = fopen(GLOVE, "r");
    ck_assert_msg(file != NULL, "%s not found: run from the root", GLOVE);
    char line[2048];
    size_t n = 0;
    for (; fgets(line, sizeof(line), file) != NULL; n++) {
        ck_assert_uint_lt(n, GLOVE_ROWS);
        char *at = strchr(line, ' ');
        for (size_t i = 0; i < GLOVE_DIM; i++) {
            glove[n][i] = strtof(at, &at);
        }
    }
    fclose(file);
    ck_assert_uint_eq(n, GLOVE_ROWS);
}

static size_t unhex(const char *hex, uint8_t *bytes)
{
    size_t n = strlen(hex) / 2;
    ck_assert_uint_le(n, MAX_ROW);
    for (size_t i = 0; i < n; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return n;
}

static void check_row(const char *search, uint32_t scales, const float *x,
                      uint32_t dim, const char *hex)
{
    uint8_t want[MAX_ROW];
    uint8_t got[MAX_ROW];
    struct nb_format format = {.codec = 1, .dim = dim, .scales = scales};
    uint32_t id;
    size_t bytes;
    ck_assert_int_eq(nb_search_by_name(search, &id), 0);
    ck_assert_int_eq(nb_row_bytes(&format, &bytes), 0);
    ck_assert_uint_eq(unhex(hex, want), bytes);
    ck_assert_int_eq(nb_encode(&format, NULL, id, x, 1, got, bytes), 0);
    ck_assert_msg(memcmp(got, want, bytes) == 0, "%s %s", search, hex);
}

/* One line: kind, scales, two encoded rows, then values or a row's index. */
static void check_line(char *line)
{
    char *rest = NULL;
    const char *kind = strtok_r(line, " \n", &rest);
    const char *scales_name = strtok_r(NULL, " \n", &rest);
    const char *asym = strtok_r(NULL, " \n", &rest);
    const char *greedy = strtok_r(NULL, " \n", &rest);
    uint32_t scales =
        strcmp(scales_name, "fp32") == 0 ? NB_SCALES_FP32 : NB_SCALES_FP16;
    float values[MAX_DIM];
    const float *x = values;
    uint32_t dim = 0;
    if (strcmp(kind, "glove") == 0) {
        size_t index = strtoul(rest, NULL, 10);
        ck_assert_uint_lt(index, GLOVE_ROWS);
        x = glove[index];
        dim = GLOVE_DIM;
    } else {
        const char *word;
        while ((word = strtok_r(NULL, " \n", &rest)) != NULL) {
            ck_assert_uint_lt(dim, MAX_DIM);
            values[dim++] = float_from_bits((uint32_t)strtoul(word, NULL, 16));
        }
    }
    check_row("asym", scales, x, dim, asym);
    check_row("greedy", scales, x, dim, greedy);
}

START_TEST(test_rows_equal_the_oracle)
{
    load_glove();
    FILE *file = fopen(GOLDEN, "r");
    ck_assert_ptr_nonnull(file);
    char line[2048];
    size_t n = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] != '#') {
            check_line(line);
            n++;
        }
    }
    fclose(file);
    ck_assert_uint_ge(n, 75);
}
END_TEST

static double glove_loss(const char *search)
{
    static uint8_t rows[GLOVE_ROWS][GLOVE_DIM / 2 + 4];
    struct nb_format format = {.codec = 1, .dim = GLOVE_DIM};
    uint32_t id;
    ck_assert_int_eq(nb_search_by_name(search, &id), 0);
    ck_assert_int_eq(nb_encode(&format, NULL, id, &glove[0][0], GLOVE_ROWS,
                               rows, sizeof(rows[0])),
                     0);
    double sq_err = 0;
    double sq_x = 0;
    for (size_t i = 0; i < GLOVE_ROWS; i++) {
        float y[GLOVE_DIM];
        float scale = q4_scale(rows[i], GLOVE_DIM, NB_SCALES_FP16);
        float bias = q4_bias(rows[i], GLOVE_DIM, NB_SCALES_FP16);
        for (size_t j = 0; j < GLOVE_DIM; j++) {
            int code = rows[i][j / 2] >> (j % 2 * 4) & 15;
            y[j] = scale * (float)code + bias;
        }
        struct nb_row_error error;
        nb_row_error(glove[i], y, GLOVE_DIM, &error);
        sq_err += error.sq_err;
        sq_x += error.sq_x;
    }
    return sqrt(sq_err / sq_x);
}

START_TEST(test_loss_over_glove)
{
    load_glove();
    ck_assert_double_eq_tol(glove_loss("greedy"), 0.10505, 5e-6);
    ck_assert_double_eq_tol(glove_loss("asym"), 0.114527, 5e-6);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("golden_rows");
    TCase *tcase = tcase_create("golden_rows");
    tcase_add_test(tcase, test_rows_equal_the_oracle);
    tcase_add_test(tcase, test_loss_over_glove);
    suite_add_tcase(suite, tcase);
    return suite;
}
