/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/quantize_checks.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "quant/codec/q4.h"
#include "quant/search/affine.h"
#include "tests/lib/guarded.h"
#include "tests/lib/kernel_checks.h"
#include "tests/lib/row_kinds.h"

#define MAX_ROWS 80
#define SENTINEL 0xa5

/* Dims beyond those from 1 to 65; 4080 is where the longest rows begin. */
static const uint32_t large_dims[] = {79,  80,  100, 127, 128, 129,  192,
                                      255, 256, 257, 300, 512, 1023, 4100};
#define SMALL_DIMS 65
#define N_DIMS     (SMALL_DIMS + sizeof(large_dims) / sizeof(large_dims[0]))

struct checks {
    const struct kernel *kernel;
    const struct kernel *scalar;
    struct rng *rng;
    struct nb_errctx *err;
    struct nb_format format;
    size_t n_rows;
    const char *kind;
    struct guarded memory; /* of the values */
    struct guarded out;
    struct guarded expected;
};

/* n values that end at the unmapped page. */
static float *values_at_end(const struct checks *checks, size_t n)
{
    return (float *)(void *)(checks->memory.end - n * sizeof(float));
}

static int differs(const struct checks *checks, const char *what, size_t row)
{
    return nb_fail(checks->err, -1, "%s: %s: row %zu of %zu, dim %u, %s, %s",
                   checks->kernel->name, what, row, checks->n_rows,
                   checks->format.dim, checks->kind,
                   checks->format.scales == NB_SCALES_FP16 ? "fp16" : "fp32");
}

static const float *fill_rows(struct checks *checks,
                              const struct row_kind *kind)
{
    uint32_t dim = checks->format.dim;
    float *x = values_at_end(checks, checks->n_rows * dim);
    checks->kind = kind->name;
    for (size_t i = 0; i < checks->n_rows; i++) {
        row_kind_fill(kind, checks->rng, x + i * dim, dim);
    }
    return x;
}

/* ---- searches -------------------------------------------------------- */

static void choose(const struct kernel *kernel, const struct checks *checks,
                   const float *x, struct affine *chosen)
{
    ((void(*) KERNEL_ARGS_asym)kernel->function)(&checks->format, x,
                                                 checks->n_rows, chosen);
}

static bool same_affine(const struct affine *a, const struct affine *b)
{
    return float_bits(a->scale) == float_bits(b->scale) &&
           float_bits(a->bias) == float_bits(b->bias);
}

static int check_search(struct checks *checks, const struct row_kind *kind)
{
    const float *x = fill_rows(checks, kind);
    struct affine got[MAX_ROWS + 1];
    struct affine want[MAX_ROWS];
    const struct affine sentinel = {.scale = -77, .bias = 77};
    got[checks->n_rows] = sentinel;
    choose(checks->scalar, checks, x, want);
    choose(checks->kernel, checks, x, got);
    for (size_t i = 0; i < checks->n_rows; i++) {
        if (!same_affine(&got[i], &want[i])) {
            return differs(checks, "not as scalar", i);
        }
    }
    if (!same_affine(&got[checks->n_rows], &sentinel)) {
        return differs(checks, "wrote behind", checks->n_rows);
    }
    return 0;
}

/* ---- packing --------------------------------------------------------- */

/* What nb_encode() may meet: any values at all. */
static void spoil(struct checks *checks, float *x, size_t n)
{
    static const float odd[] = {NAN,       -NAN,    INFINITY,
                                -INFINITY, FLT_MAX, 1e-45f};
    for (size_t i = 0; i < n; i++) {
        if (rng_below(checks->rng, 16) == 0) {
            x[i] = odd[rng_below(checks->rng, sizeof(odd) / sizeof(odd[0]))];
        }
    }
}

static void any_affine(struct checks *checks, struct affine *affine)
{
    struct rng *rng = checks->rng;
    double scale = ldexp(rng_normal(rng), (int)rng_below(rng, 12) - 6);
    affine->scale =
        affine_store((float)scale + 0x1p-10f, checks->format.scales);
    affine->bias = affine_store((float)rng_normal(rng), checks->format.scales);
}

static int check_pack(struct checks *checks, const struct row_kind *kind)
{
    struct affine affine[MAX_ROWS];
    float *x = (float *)fill_rows(checks, kind);
    size_t n = checks->n_rows;
    size_t bytes = q4_code_bytes(checks->format.dim) +
                   2 * q4_scale_bytes(checks->format.scales);
    size_t stride = bytes + rng_below(checks->rng, 3);
    size_t used = (n - 1) * stride + bytes;
    if (rng_below(checks->rng, 2) != 0) {
        spoil(checks, x, n * checks->format.dim);
    }
    for (size_t i = 0; i < n; i++) {
        any_affine(checks, &affine[i]);
    }
    uint8_t *got = checks->out.end - used;
    uint8_t *want = checks->expected.end - used;
    memset(got, SENTINEL, used);
    memset(want, SENTINEL, used);
    ((void(*) KERNEL_ARGS_pack)checks->scalar->function)(&checks->format, x, n,
                                                         affine, want, stride);
    ((void(*) KERNEL_ARGS_pack)checks->kernel->function)(&checks->format, x, n,
                                                         affine, got, stride);
    for (size_t i = 0; i < used; i++) {
        if (got[i] != want[i]) {
            return differs(checks, "not as scalar", i / stride);
        }
    }
    return 0;
}

/* ---- values ---------------------------------------------------------- */

static int compare_over(const struct checks *checks, const float *x, size_t n,
                        float limit)
{
    size_t got = SIZE_MAX;
    size_t want = SIZE_MAX;
    ((void(*) KERNEL_ARGS_over)checks->scalar->function)(x, n, limit, &want);
    ((void(*) KERNEL_ARGS_over)checks->kernel->function)(x, n, limit, &got);
    return got == want ? 0 : differs(checks, "not as scalar", want);
}

static int check_over(struct checks *checks, const struct row_kind *kind)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 65505, -7e4f};
    size_t n = checks->n_rows * checks->format.dim;
    float *x = (float *)fill_rows(checks, kind);
    int rv = compare_over(checks, x, 0, 65504);
    for (size_t i = 0; rv == 0 && i < sizeof(bad) / sizeof(bad[0]); i++) {
        rv = compare_over(checks, x, n, 65504);
        x[(size_t)(rng_unit(checks->rng) * (double)n)] = bad[i];
    }
    return rv;
}

static int check_error(struct checks *checks, const struct row_kind *kind)
{
    uint32_t dim = checks->format.dim;
    const float *x = fill_rows(checks, kind);
    for (size_t i = 0; i + 1 < checks->n_rows; i++) {
        struct nb_row_error got;
        struct nb_row_error want;
        const float *a = x + i * dim;
        const float *b = x + (i + 1) * dim;
        ((void(*) KERNEL_ARGS_error)checks->scalar->function)(a, b, dim, &want);
        ((void(*) KERNEL_ARGS_error)checks->kernel->function)(a, b, dim, &got);
        const double *g = &got.sq_err;
        const double *w = &want.sq_err;
        for (size_t k = 0; k < sizeof(got) / sizeof(*g); k++) {
            if (get_u64(&g[k]) != get_u64(&w[k])) {
                return differs(checks, "not as scalar", i);
            }
        }
    }
    return 0;
}

/* ---- all ------------------------------------------------------------- */

typedef int (*check_fn)(struct checks *checks, const struct row_kind *kind);

static check_fn check_of(enum kernel_op op)
{
    switch (op) {
    case KERNEL_asym:
    case KERNEL_greedy:
        return check_search;
    case KERNEL_pack:
        return check_pack;
    case KERNEL_over:
        return check_over;
    case KERNEL_error:
        return check_error;
    default:
        return NULL;
    }
}

bool quantize_checks_know(enum kernel_op op)
{
    return check_of(op) != NULL;
}

static int check_dim(struct checks *checks, uint32_t dim)
{
    const struct row_kind *kind;
    checks->format.dim = dim;
    for (uint32_t scales = NB_SCALES_FP16; scales <= NB_SCALES_FP32; scales++) {
        checks->format.scales = scales;
        for (size_t i = 0; (kind = row_kind_at(i)) != NULL; i++) {
            /* Whole groups of rows, and what is left of them. */
            checks->n_rows = dim > 2000 ? 2 : 4;
            if (dim <= SMALL_DIMS) {
                checks->n_rows = MAX_ROWS - rng_below(checks->rng, 20);
            }
            if (check_of(checks->kernel->op)(checks, kind) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

int quantize_checks_run(const struct kernel *kernel,
                        const struct kernel *scalar, uint64_t seed,
                        struct nb_errctx *err)
{
    size_t bytes = (size_t)MAX_ROWS * 300 * sizeof(float);
    struct rng rng = {seed};
    struct checks checks = {.kernel = kernel,
                            .scalar = scalar,
                            .rng = &rng,
                            .err = err,
                            .format = {.codec = 1},
                            .memory = guarded_create(bytes),
                            .out = guarded_create(bytes),
                            .expected = guarded_create(bytes)};
    int rv = 0;
    struct dim_steps of = kernel_checks_steps(kernel);
    for (size_t i = of.first; rv == 0 && i < N_DIMS; i += of.step) {
        rv = check_dim(&checks, i < SMALL_DIMS ? (uint32_t)i + 1
                                               : large_dims[i - SMALL_DIMS]);
    }
    guarded_destroy(&checks.memory);
    guarded_destroy(&checks.out);
    guarded_destroy(&checks.expected);
    return rv;
}
