/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/encode_checks.h"

#include <math.h>
#include <string.h>

#include "quant/codec/codec.h"
#include "tests/lib/guarded.h"
#include "tests/lib/kernel_checks.h"
#include "tests/lib/row_kinds.h"

#define MAX_ROWS 20 /* a group of 16 and some */
#define MAX_DIM  1030
#define SENTINEL 0xa5

/* Around units, tiles and the columns that are transposed at a time. */
static const uint32_t dims[] = {1,  2,  3,  7,   8,   15,  16,  17,  31,
                                33, 63, 64, 100, 129, 511, 512, 513, MAX_DIM};
#define N_DIMS (sizeof(dims) / sizeof(dims[0]))

struct checks {
    const struct kernel *kernel;
    const struct kernel *scalar;
    const struct codec *codec;
    struct nb_errctx *err;
    struct rng rng;
    struct nb_format format;
    struct nb_params params;
    float codebooks[8 * NB_LEVELS_MAX];
    struct guarded memory; /* of the values */
    struct guarded out;
    struct guarded expected;
};

/* Levels as training leaves them: those of a subset ascend. */
static void make_codebooks(struct checks *checks)
{
    const struct codec_trained *trained = checks->codec->trained;
    uint32_t n = rng_below(&checks->rng, 2) == 0 ? 1 : 8;

    n = trained->can_have(n) ? n : 9 - n;

    for (uint32_t i = 0; i < n * trained->n_levels; i++) {
        double step = 0.1 + rng_unit(&checks->rng) / 4;
        bool first = i % trained->n_levels < trained->n_subsets;
        checks->codebooks[i] =
            first ? (float)(-2.5 + rng_unit(&checks->rng))
                  : checks->codebooks[i - trained->n_subsets] + (float)step;
    }
    checks->params = (struct nb_params){.codebooks = checks->codebooks,
                                        .n_codebooks = n,
                                        .n_levels = trained->n_levels};
}

static void run(const struct kernel *kernel, const struct checks *checks,
                const float *x, size_t n, uint8_t *rows, size_t stride)
{
    ((void(*) KERNEL_ARGS_encode)kernel->function)(
        &checks->format, &checks->params, x, n, rows, stride);
}

/* Ours in one go, the scalar ones row by row. */
static int check_rows(struct checks *checks, const struct row_kind *kind)
{
    uint32_t dim = checks->format.dim;
    size_t n = dim > 120 ? 2 : 1 + rng_below(&checks->rng, MAX_ROWS);
    size_t bytes = checks->codec->row_bytes(&checks->format);
    size_t stride = bytes + rng_below(&checks->rng, 3);
    size_t used = (n - 1) * stride + bytes;
    float *x = (float *)(void *)(checks->memory.end - n * dim * sizeof(float));
    uint8_t *got = checks->out.end - used;
    uint8_t *want = checks->expected.end - used;

    for (size_t i = 0; i < n; i++) {
        row_kind_fill(kind, &checks->rng, x + i * dim, dim);
    }
    make_codebooks(checks);
    memset(got, SENTINEL, used);
    memset(want, SENTINEL, used);
    run(checks->kernel, checks, x, n, got, stride);
    for (size_t i = 0; i < n; i++) {
        run(checks->scalar, checks, x + i * dim, 1, want + i * stride, stride);
    }
    for (size_t i = 0; i < used; i++) {
        if (got[i] != want[i]) {
            return nb_fail(checks->err, -1,
                           "%s: row %zu of %zu, byte %zu, dim %u, %s, %s, %u "
                           "codebooks: not as scalar",
                           checks->kernel->name, i / stride, n, i % stride, dim,
                           kind->name,
                           checks->format.scales == NB_SCALES_FP16 ? "fp16"
                                                                   : "fp32",
                           checks->params.n_codebooks);
        }
    }
    return 0;
}

static int check_dim(struct checks *checks, uint32_t dim)
{
    const struct row_kind *kind;
    checks->format.dim = dim;
    for (uint32_t scales = NB_SCALES_FP16; scales <= NB_SCALES_FP32; scales++) {
        checks->format.scales = scales;
        if ((checks->codec->scales >> scales & 1u) == 0) {
            continue;
        }
        for (size_t i = 0; (kind = row_kind_at(i)) != NULL; i++) {
            if (check_rows(checks, kind) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

int encode_checks_run(const struct kernel *kernel, const struct kernel *scalar,
                      uint64_t seed, struct nb_errctx *err)
{
    size_t bytes = (size_t)MAX_ROWS * 200 * sizeof(float);
    struct checks checks = {.kernel = kernel,
                            .scalar = scalar,
                            .codec = codec_by_id(kernel->codec),
                            .err = err,
                            .rng = {seed},
                            .format = {.codec = kernel->codec},
                            .memory = guarded_create(bytes),
                            .out = guarded_create(bytes),
                            .expected = guarded_create(bytes)};
    int rv = 0;
    struct dim_steps of = kernel_checks_steps(kernel);
    for (size_t i = of.first; rv == 0 && i < N_DIMS; i += of.step) {
        rv = check_dim(&checks, dims[i]);
    }
    guarded_destroy(&checks.memory);
    guarded_destroy(&checks.out);
    guarded_destroy(&checks.expected);
    return rv;
}
