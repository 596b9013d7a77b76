/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * A request's ids, a window at a time, as pointers to rows. Kernels see
 * pointers only: neither the type of ids, nor strides, nor unseen ids. Windows
 * are of fixed size and live on the stack, two at a time: while the rows of one
 * are worked on, those of the next are prefetched.
 */
#ifndef NB_QUANT_WINDOW_H
#define NB_QUANT_WINDOW_H

#include "quant/key_probe.h"
#include "quant/kernel/kernels.h"
#include "quant/nibble.h"

#define WINDOW_IDS KERNEL_BLOCK
#define KEYS_AHEAD 64u /* ids whose pilot is on its way; a power of two */

/* The index is asked in order of the ids; what it reads is prefetched
 * KEYS_AHEAD ids before. */
struct key_ring {
    size_t next; /* ids up to here are in the ring, the last KEYS_AHEAD */
    struct key_probe probes[KEYS_AHEAD];
};

/* Where a request's rows come from. */
struct row_source {
    const struct nb_rows *rows;
    const struct nb_ids *ids;
    size_t row_bytes;
    size_t touch_bytes; /* of a row and its key */
    size_t window_ids;  /* ids of a window: two go well into the L1 cache */
    size_t block_ids;   /* ids of a block, the most of a window */
    const struct kernel *locate;
    const uint8_t *absent; /* what an unseen id stands for; NULL for nothing */
    bool refuse;           /* unseen ids are an error */
    struct key_ring ring;  /* of rows that have keys */
};

struct window {
    /* Rows, NULL for ids that stand for nothing; behind them KERNEL_PAD
     * pointers to any row. */
    _Alignas(64) const uint8_t *at[WINDOW_IDS + KERNEL_PAD];
    size_t first; /* id */
    size_t n;
    uint64_t unseen;
};

/* Checks the three arguments of a request. NB_ERR_INVALID, NB_ERR_UNSUPPORTED.
 */
int row_source_init(struct row_source *source, const struct nb_rows *rows,
                    const struct nb_ids *ids,
                    const struct nb_unseen_policy *policy);

/* Sizes windows for `out_bytes` of results an id. */
void row_source_size(struct row_source *source, size_t out_bytes);

/* Whether some unseen id of the window left a NULL. */
static inline bool window_has_gaps(const struct row_source *source,
                                   const struct window *window)
{
    return window->unseen > 0 && source->absent == NULL;
}

/* Loads n <= WINDOW_IDS ids from `first` on: the rows that they are in if they
 * are in any, to be prefetched. */
void window_load(struct window *window, struct row_source *source, size_t first,
                 size_t n);

/* Finds out which ids of a loaded window are unseen, once their rows have been
 * prefetched. NB_ERR_UNSEEN. */
int window_settle(struct window *window, const struct row_source *source);

/* Loads n <= WINDOW_IDS rows from row `first` on, all in the table. */
void window_load_rows(struct window *window, const struct row_source *source,
                      uint64_t first, size_t n);

/* Sets n, and the pointers behind. */
void window_end(struct window *window, const struct row_source *source,
                size_t n);

/* Prefetches rows from `first` on, up to the end. */
void window_prefetch(const struct window *window,
                     const struct row_source *source, size_t first);

/* The parts of a job that depend on the table only. */
void row_source_job(const struct row_source *source, struct kernel_job *job);

#endif
