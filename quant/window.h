/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * A request's ids, a window at a time, as pointers to rows. Kernels see
 * pointers only: neither the type of ids, nor strides, nor unseen ids. A window
 * is of fixed size and lives on the stack.
 */
#ifndef NB_QUANT_WINDOW_H
#define NB_QUANT_WINDOW_H

#include "quant/kernel/kernels.h"
#include "quant/nibble.h"

#define WINDOW_IDS KERNEL_BLOCK

struct window {
    const struct nb_rows *rows;
    const struct nb_ids *ids;
    size_t row_bytes;
    const struct kernel *locate;
    const uint8_t *absent; /* what an unseen id stands for; NULL for nothing */
    bool refuse;           /* unseen ids are an error */
    uint64_t unseen;       /* in the window */
    /* The window's rows, NULL for ids that stand for nothing; behind them the
     * next ones, to prefetch: always pointers to rows. */
    _Alignas(64) const uint8_t *at[WINDOW_IDS + KERNEL_AHEAD];
};

/* Checks the three arguments of a request. NB_ERR_INVALID, NB_ERR_UNSUPPORTED.
 */
int window_init(struct window *window, const struct nb_rows *rows,
                const struct nb_ids *ids,
                const struct nb_unseen_policy *policy);

/* Loads n <= WINDOW_IDS ids from `first` on. NB_ERR_UNSEEN. */
int window_load(struct window *window, size_t first, size_t n);

/* Loads n <= WINDOW_IDS rows from row `first` on, all in the table. */
void window_load_rows(struct window *window, uint64_t first, size_t n);

/* Prefetches the first rows; later ones are the kernels' business. */
void window_prefetch(const struct window *window, size_t n);

/* The parts of a job that depend on the table only. */
void window_job(const struct window *window, struct kernel_job *job);

#endif
