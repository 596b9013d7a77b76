/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of rows in layouts that the format could have had, and with stages left
 * out. The kernel is the same for all but for where things are: 16 products a
 * row, looked up by vpermps; it is not the library's.
 */
#ifndef NB_TESTS_BENCH_LAYOUTS_AVX512_H
#define NB_TESTS_BENCH_LAYOUTS_AVX512_H

#include <stddef.h>
#include <stdint.h>

enum layout {
    LAYOUT_Q4,           /* codes of neighbours in a byte; scale, bias behind */
    LAYOUT_PARAMS_FIRST, /* the same, scale and bias before */
    LAYOUT_LOW_FIRST,    /* 32 columns: the first 16 in the low nibbles */
};

enum stages {
    STAGES_ALL,
    STAGES_NO_PREFETCH,
    STAGES_ONE_LINE, /* only the row's first line is prefetched */
};

struct layout_job {
    const uint8_t *base;
    size_t stride;
    uint32_t dim; /* 64 or 128 */
    enum layout layout;
    enum stages stages;
    const uint64_t *ids;
    size_t n_bags;
    uint32_t bag;
};

/* n_bags x dim values to `out`; columns may be out of order. */
void layout_pool_avx512(const struct layout_job *job, float *out);

#endif
