/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The kernels: what each op does, the list of them, and which one to use.
 *
 * Every kernel of an op gives the same bits as the scalar one, whose order of
 * operations is that of storage/FORMAT.md, "Arithmetic" (a NaN may be any NaN).
 * A kernel reads no byte outside its rows and writes none outside its results.
 */
#ifndef NB_QUANT_KERNELS_H
#define NB_QUANT_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/cpu.h"
#include "quant/nibble.h"

struct affine; /* search/affine.h */

/* Columns of the widest tile. */
#define KERNEL_TILE_MAX 256

/* Rows of a job at most. A longer bag comes in parts of just that many ids. */
#define KERNEL_BLOCK 256

/* Pointers behind the last row of a job, to any rows. */
#define KERNEL_PAD 8

#define KERNEL_LINE 64 /* bytes of a cache line */

/* State of a bag that comes in parts; `values` in an order of the kernel's. */
struct kernel_sums {
    _Alignas(64) float values[KERNEL_TILE_MAX];
};

/* Rows and what to make of them. Of no table: the rows are somewhere. */
struct kernel_job {
    /* Row starts, of the bags one after the other, and KERNEL_PAD more. */
    const uint8_t *const *rows;
    size_t n_rows;
    /* Rows to prefetch meanwhile: i-th of these with the i-th of those. */
    const uint8_t *const *ahead;
    size_t n_ahead;
    size_t row_bytes;   /* of one row */
    size_t touch_bytes; /* of one that is to be prefetched */
    uint32_t dim;
    uint32_t scales;                /* enum nb_scales */
    const struct nb_params *params; /* codebooks, of codecs that have them */

    /* Columns col .. col + width, col a multiple of the kernel's tile and
     * width at most that. Not for decode, which does whole rows. */
    uint32_t col;
    uint32_t width;

    const uint32_t *counts;  /* rows in each bag */
    size_t n_bags;           /* not for decode */
    const float *weights;    /* one a row, or NULL */
    const uint32_t *lengths; /* divisors of the bags' sums, or NULL */

    /* A bag in parts: n_bags is 1, resume takes up the state of the part
     * before, suspend leaves it instead of writing a result. */
    struct kernel_sums *sums; /* NULL if no bag is in parts */
    bool resume;
    bool suspend;

    uint32_t dtype;    /* enum nb_dtype but NB_PACKED */
    uint8_t *out;      /* value of column col of the first bag (or row) */
    size_t out_stride; /* bytes from bag to bag (or row to row) */
};

/* Ids and where the rows of a table are. */
struct kernel_ids {
    const uint64_t *u64; /* one of the two is set, */
    const uint32_t *u32; /* unless n is 0 */
    size_t n;
    uintptr_t base; /* of row 0 */
    uint64_t stride;
    uint64_t n_rows;
    const uint8_t *absent; /* what an id not in the table stands for */
    const uint8_t **at;    /* results: a row for each id */
    uint64_t *unseen;      /* result: ids not in the table */
};

/* Rows (or bags) of a tile whose column transform is to be undone: value =
 * scale * value + shift * mean, each operation rounded. */
struct kernel_columns {
    const float *values; /* n x width */
    size_t n;
    uint32_t width;      /* KERNEL_TILE_MAX at most */
    const float *mean;   /* of the tile's columns */
    const float *scale;  /* NULL: ones */
    const float *shifts; /* one a row */
    uint32_t dtype;      /* enum nb_dtype but NB_PACKED */
    uint8_t *out;
    size_t out_stride; /* bytes from row to row */
};

/* Arguments of each op's kernels. `locate` is of no codec. */
#define KERNEL_ARGS_locate (const struct kernel_ids *ids)
#define KERNEL_ARGS_decode (const struct kernel_job *job)
#define KERNEL_ARGS_sum    (const struct kernel_job *job)
#define KERNEL_ARGS_max    (const struct kernel_job *job)

/* Of no codec: finishes what another kernel left as fp32. */
#define KERNEL_ARGS_columns (const struct kernel_columns *columns)

/* Quantizing. asym, greedy: the `choose` of a search (search/search.h). pack:
 * rows of given scales and biases. over: index of the first of n values that is
 * a NaN or > limit in size, n if there is none. error: nb_row_error(). */
#define KERNEL_ARGS_asym                                                       \
    (const struct nb_format *format, const float *x, size_t n_rows,            \
     struct affine *chosen)
#define KERNEL_ARGS_greedy KERNEL_ARGS_asym
#define KERNEL_ARGS_pack                                                       \
    (const struct nb_format *format, const float *x, size_t n_rows,            \
     const struct affine *affine, uint8_t *rows, size_t stride)
/* The `encode` of a trained codec (codec/codec.h). */
#define KERNEL_ARGS_encode                                                     \
    (const struct nb_format *format, const struct nb_params *params,           \
     const float *x, size_t n_rows, uint8_t *rows, size_t stride)
#define KERNEL_ARGS_over (const float *x, size_t n, float limit, size_t *at)
#define KERNEL_ARGS_error                                                      \
    (const float *x, const float *y, size_t dim, struct nb_row_error *error)

#define KERNEL(op, codec, isa, tile, function) void function KERNEL_ARGS_##op;
#include "quant/kernel/kernels.def"
#undef KERNEL

enum kernel_op {
    KERNEL_locate,
    KERNEL_decode,
    KERNEL_sum,
    KERNEL_max,
    KERNEL_columns,
    KERNEL_asym,
    KERNEL_greedy,
    KERNEL_pack,
    KERNEL_encode,
    KERNEL_over,
    KERNEL_error,
    KERNEL_N_OPS
};

/* A row of kernels.def. */
struct kernel {
    enum kernel_op op;
    uint32_t codec; /* id of codec/codecs.def, or CODEC_any */
    uint32_t isa;   /* enum isa */
    uint32_t tile;
    const char *name;
    void (*function)(void); /* of the op's type */
};

/* The i-th row, NULL past the end. */
const struct kernel *kernel_at(size_t i);

/* The kernel to use, NULL if the codec has none for the op. */
const struct kernel *kernel_find(enum kernel_op op, uint32_t codec);

/* Rows up to this touch two lines at most, if they stand at multiples of 4. */
#define KERNEL_SHORT_ROW (KERNEL_LINE + 4)

/* Prefetches every line of a row; of a long row the first, which the processor
 * follows by itself. */
static inline void kernel_prefetch(const uint8_t *row, size_t row_bytes)
{
    __builtin_prefetch(row);
    if (row_bytes > KERNEL_SHORT_ROW) {
        size_t bytes = row_bytes < 1024 ? row_bytes : 1024;
        for (size_t byte = KERNEL_LINE; byte + 1 < bytes; byte += KERNEL_LINE) {
            __builtin_prefetch(row + byte);
        }
    }
    __builtin_prefetch(row + row_bytes - 1);
}

/* Prefetches what goes with rows i to i + n of the job; n is a constant, and
 * too many do no harm. */
static inline __attribute__((always_inline)) void
kernel_prefetch_ahead(const struct kernel_job *job, size_t i, const unsigned n)
{
    if (i + n <= job->n_ahead && job->touch_bytes <= KERNEL_SHORT_ROW) {
        const uint8_t *const *rows = job->ahead + i;
        size_t last = job->touch_bytes - 1;
#pragma GCC unroll 8
        for (unsigned j = 0; j < n; j++) {
            __builtin_prefetch(rows[j]);
            __builtin_prefetch(rows[j] + last);
        }
        return;
    }
    for (size_t end = i + n; i < end && i < job->n_ahead; i++) {
        kernel_prefetch(job->ahead[i], job->touch_bytes);
    }
}

/* Prefetches lines of results that come KERNEL_OUT_AHEAD bytes behind `out`,
 * for results that are longer than the cache: stores wait for their lines, and
 * twice for those that straddle two. They need not exist. */
#define KERNEL_OUT_AHEAD 512

static inline __attribute__((always_inline)) void
kernel_prefetch_results(const uint8_t *out, size_t bytes)
{
    uintptr_t at = (uintptr_t)out + KERNEL_OUT_AHEAD;
#pragma GCC unroll 8
    for (size_t byte = 0; byte < bytes; byte += KERNEL_LINE) {
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): never followed */
        __builtin_prefetch((const void *)(at + byte), 1);
    }
}

/* Prefetches n values, `ahead` values behind x. They need not exist. */
static inline void kernel_prefetch_values(const float *x, size_t ahead,
                                          size_t n)
{
    uintptr_t at = (uintptr_t)x + ahead * sizeof(*x);
    for (size_t byte = 0; byte < n * sizeof(*x); byte += KERNEL_LINE) {
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): never followed */
        __builtin_prefetch((const void *)(at + byte));
    }
}

/* Calls the kernel to use. */
#define KERNEL_CALL(op, codec, ...)                                            \
    ((void(*) KERNEL_ARGS_##op)kernel_find(KERNEL_##op, CODEC_##codec)         \
         ->function)(__VA_ARGS__)

/* Calls a kernel whose op takes a job. */
static inline void kernel_run(const struct kernel *kernel,
                              const struct kernel_job *job)
{
    ((void(*) KERNEL_ARGS_sum)kernel->function)(job);
}

static inline void kernel_run_locate(const struct kernel *kernel,
                                     const struct kernel_ids *ids)
{
    ((void(*) KERNEL_ARGS_locate)kernel->function)(ids);
}

static inline void kernel_run_columns(const struct kernel *kernel,
                                      const struct kernel_columns *columns)
{
    ((void(*) KERNEL_ARGS_columns)kernel->function)(columns);
}

#endif
