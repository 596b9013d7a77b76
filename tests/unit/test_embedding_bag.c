/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Sums of bags against golden/embedding_bag_4bit.txt, which stands in for
 * PyTorch's operator, to the rounding of fp32: our order of operations differs.
 */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/half.h"
#include "quant/nibble.h"
#include "tests/lib/run_suite.h"

#define GOLDEN    "tests/golden/embedding_bag_4bit.txt"
#define DIM       50
#define ROW_BYTES (DIM / 2 + 4)
#define ROWS_MAX  64
#define BAG_MAX   64

static uint8_t rows[ROWS_MAX][ROW_BYTES];
static size_t n_rows;

static void take_row(const char *hex)
{
    ck_assert_uint_lt(n_rows, ROWS_MAX);
    ck_assert_uint_eq(strlen(hex), 2 * (size_t)ROW_BYTES);
    for (size_t i = 0; i < ROW_BYTES; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        rows[n_rows][i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    n_rows++;
}

/* The numbers of a comma list, in base 10 or 16. */
static size_t take_list(const char *list, int base, size_t max,
                        uint32_t *numbers)
{
    size_t n = 0;
    while (*list != '\0' && *list != '.') {
        char *end;
        ck_assert_uint_lt(n, max);
        numbers[n++] = (uint32_t)strtoul(list, &end, base);
        ck_assert_ptr_ne(list, end);
        list = *end == ',' ? end + 1 : end;
    }
    return n;
}

static void check_bag(const char *ids_list, const char *weights_list,
                      const char *sums_list)
{
    uint32_t ids[BAG_MAX] = {0};
    uint32_t bits[BAG_MAX];
    float weights[BAG_MAX] = {0};
    float expected[DIM];
    float pooled[DIM];
    double magnitude[DIM] = {0};
    bool weighted = strcmp(weights_list, "-") != 0;
    uint32_t n = (uint32_t)take_list(ids_list, 10, BAG_MAX, ids);
    if (weighted) {
        ck_assert_uint_eq(take_list(weights_list, 16, BAG_MAX, bits), n);
        memcpy(weights, bits, n * sizeof(float));
    }
    ck_assert_uint_eq(take_list(sums_list, 16, BAG_MAX, bits), DIM);
    memcpy(expected, bits, sizeof(expected));

    const struct nb_rows table = {
        .format = {.codec = 1, .dim = DIM, .scales = NB_SCALES_FP16},
        .base = rows,
        .n_rows = n_rows,
        .stride = ROW_BYTES,
    };
    const struct nb_pool pool = {
        .ids = {.u32 = n > 0 ? ids : NULL, .n = n},
        .lengths = &n,
        .n_bags = 1,
        .weights = weighted && n > 0 ? weights : NULL,
        .pooling = NB_SUM,
        .dtype = NB_FP32,
    };
    uint64_t unseen;
    ck_assert_int_eq(nb_pool(&table, &pool, pooled, &unseen), 0);
    ck_assert_uint_eq(unseen, 0);
    for (size_t i = 0; i < n; i++) {
        float row[DIM];
        ck_assert_int_eq(nb_decode(&table, ids[i], 1, NB_FP32, row), 0);
        for (size_t j = 0; j < DIM; j++) {
            magnitude[j] += fabs((double)row[j] * (weighted ? weights[i] : 1));
        }
    }
    for (size_t j = 0; j < DIM; j++) {
        double off = fabs((double)pooled[j] - (double)expected[j]);
        ck_assert_msg(off <= 1e-5 * magnitude[j],
                      "bag of %u, column %zu: %.9g, not %.9g", n, j,
                      (double)pooled[j], (double)expected[j]);
    }
}

START_TEST(sums)
{
    FILE *file = fopen(GOLDEN, "r");
    ck_assert_msg(file != NULL, "%s not found: run from the root", GOLDEN);
    static char line[8192];
    size_t n_bags = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        char *rest = line;
        const char *word[4];
        for (size_t i = 0; i < 4; i++) {
            word[i] = strsep(&rest, " \n");
        }
        if (strcmp(word[0], "row") == 0) {
            take_row(word[1]);
        } else if (strcmp(word[0], "bag") == 0) {
            ck_assert_ptr_nonnull(word[3]);
            check_bag(word[1], word[2], word[3]);
            n_bags++;
        }
    }
    fclose(file);
    ck_assert_uint_eq(n_rows, 26);
    ck_assert_uint_eq(n_bags, 20);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("embedding_bag");
    TCase *tests = tcase_create("embedding_bag_4bit");
    tcase_add_test(tests, sums);
    suite_add_tcase(suite, tests);
    return suite;
}
