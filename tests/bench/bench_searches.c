/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Times encoding with every search, and its normalized l2 loss, on Gaussian
 * rows with fp16 scales. The searches of a dim run in turns, so that a
 * disturbance hits all alike; medians of the thread's own time are shown.
 *
 *     bench_searches [--rounds N] [--json]
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "quant/nibble.h"
#include "tests/lib/rng.h"

#define N_ROWS       256
#define MAX_DIM      128
#define MAX_ROUNDS   101
#define MAX_SEARCHES 32

static float x[N_ROWS * MAX_DIM];
static float y[N_ROWS * MAX_DIM];
static uint8_t rows[N_ROWS * (MAX_DIM / 2 + 4)];

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static void fill(size_t n)
{
    struct rng rng = {.state = 20240621};
    for (size_t i = 0; i < n; i++) {
        double radius = sqrt(-2 * log(1 - rng_unit(&rng)));
        x[i] = (float)(radius * cos(6.283185307179586 * rng_unit(&rng)));
    }
}

/* Time of a row, microseconds; the rows are left in `rows`. */
static double encode(const struct nb_format *format, uint32_t search)
{
    size_t bytes = format->dim / 2 + 4;
    double start = now_us();
    if (nb_encode(format, NULL, search, x, N_ROWS, rows, bytes) != 0) {
        abort();
    }
    return (now_us() - start) / N_ROWS;
}

static double loss(const struct nb_format *format)
{
    const struct nb_rows encoded = {.format = *format,
                                    .base = rows,
                                    .n_rows = N_ROWS,
                                    .stride = format->dim / 2 + 4};
    struct nb_row_error error;
    if (nb_decode(&encoded, 0, N_ROWS, NB_FP32, y) != 0) {
        abort();
    }
    nb_row_error(x, y, (size_t)N_ROWS * format->dim, &error);
    return sqrt(error.sq_err / error.sq_x);
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void run_dim(uint32_t dim, size_t rounds, bool json)
{
    static double us[MAX_SEARCHES][MAX_ROUNDS];
    double losses[MAX_SEARCHES] = {0};
    struct nb_format format = {.dim = dim};
    uint32_t n = 0;
    while (n < MAX_SEARCHES && nb_search_name(n) != NULL) {
        n++;
    }
    if (nb_codec_by_name("q4", &format.codec) != 0) {
        abort();
    }
    fill((size_t)N_ROWS * dim);
    for (size_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < n; i++) {
            us[i][round] = encode(&format, i);
            losses[i] = loss(&format);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        qsort(us[i], rounds, sizeof(double), compare_doubles);
        double median = us[i][rounds / 2];
        printf(json
                   ? "{\"bench\":\"searches\",\"search\":\"%s\",\"isa\":\"%s\","
                     "\"dim\":%u,\"us_per_row\":%.3f,\"nl2\":%.5f}\n"
                   : "%-12s %-7s d=%-4u %9.3f us/row   nl2 %.5f\n",
               nb_search_name(i), nb_isa(), dim, median, losses[i]);
    }
}

static bool parse(int argc, char **argv, size_t *rounds, bool *json)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            *json = true;
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            char *end;
            *rounds = strtoul(argv[++i], &end, 10);
            if (*end != '\0' || *rounds < 1 || *rounds > MAX_ROUNDS) {
                return false;
            }
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    static const uint32_t dims[] = {8, 16, 32, 64, 128};
    size_t rounds = 9;
    bool json = false;
    if (!parse(argc, argv, &rounds, &json)) {
        fprintf(stderr, "bench_searches [--rounds 1..%d] [--json]\n",
                MAX_ROUNDS);
        return 2;
    }
    for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++) {
        run_dim(dims[i], rounds, json);
    }
    return 0;
}
