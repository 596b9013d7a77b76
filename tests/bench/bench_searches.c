/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Times encoding with every search, and its normalized l2 loss, on Gaussian
 * rows with fp16 scales. The searches of a dim run in turns, so that a
 * disturbance hits all alike; medians of the thread's own time are shown.
 *
 *     bench_searches [--rounds N] [--json FILE]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/nibble.h"
#include "tests/bench/settings.h"
#include "tests/bench/timing.h"
#include "tests/lib/rng.h"

#define N_ROWS       256
#define MAX_DIM      128
#define MAX_SEARCHES 32

static float x[N_ROWS * MAX_DIM];
static float y[N_ROWS * MAX_DIM];
static uint8_t rows[N_ROWS * (MAX_DIM / 2 + 4)];

static void fill(size_t n)
{
    struct rng rng = {.state = 20240621};
    for (size_t i = 0; i < n; i++) {
        double radius = sqrt(-2 * log(1 - rng_unit(&rng)));
        x[i] = (float)(radius * cos(6.283185307179586 * rng_unit(&rng)));
    }
}

/* Leaves the encoded values in `rows`. */
static void encode(const struct nb_format *format, uint32_t search)
{
    size_t bytes = format->dim / 2 + 4;
    if (nb_encode(format, NULL, search, x, N_ROWS, rows, bytes) != 0) {
        abort();
    }
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

static void print_search(const struct settings *settings, uint32_t search,
                         uint32_t dim, double us, double nl2)
{
    const char *name = nb_search_name(search);
    printf("%-12s %-7s d=%-4u %9.3f us/row   nl2 %.5f\n", name, nb_isa(), dim,
           us, nl2);
    if (settings->json != NULL) {
        fprintf(settings->json,
                "{\"bench\":\"searches\",\"search\":\"%s\",\"isa\":\"%s\","
                "\"dim\":%u,\"us_per_row\":%.3f,\"nl2\":%.5f}\n",
                name, nb_isa(), dim, us, nl2);
    }
}

static void run_dim(const struct settings *settings, uint32_t dim)
{
    static struct timing timings[MAX_SEARCHES];
    double losses[MAX_SEARCHES] = {0};
    struct nb_format format = {.dim = dim};
    uint32_t n = 0;
    memset(timings, 0, sizeof(timings));
    while (n < MAX_SEARCHES && nb_search_name(n) != NULL) {
        n++;
    }
    if (nb_codec_by_name("q4", &format.codec) != 0) {
        abort();
    }
    fill((size_t)N_ROWS * dim);
    for (size_t round = 0; round < settings->rounds; round++) {
        for (uint32_t i = 0; i < n; i++) {
            uint64_t start = timing_now_ns();
            encode(&format, i);
            timing_add(&timings[i], start, N_ROWS);
            losses[i] = loss(&format);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        print_search(settings, i, dim, timing_median(&timings[i]) / 1e3,
                     losses[i]);
    }
}

int main(int argc, char **argv)
{
    static const uint32_t dims[] = {8, 16, 32, 64, 128};
    struct settings settings = {.rounds = 9};
    settings_parse(&settings, argc, argv);
    for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++) {
        run_dim(&settings, dims[i]);
    }
    settings_close(&settings);
    return 0;
}
