/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows by id, or one after the other, decoded a window at a time or copied as
 * they are. */
#ifndef NB_QUANT_LOOKUP_H
#define NB_QUANT_LOOKUP_H

#include <stdbool.h>

#include "quant/columns.h"
#include "quant/kernel/kernels.h"
#include "quant/nibble.h"
#include "quant/window.h"

/* A request for rows. On the stack. */
struct lookup {
    struct window windows[2];
    struct window *window; /* decoded last */
    struct window *next;   /* prefetched meanwhile */
    struct row_source source;
    struct kernel_job job;
    struct columns columns;
    const struct kernel *kernel; /* NULL: NB_PACKED */
    const struct kernel *sum;    /* of protected rows; NULL: there are none */
    size_t out_bytes;            /* of a row of the result */
    size_t n;                    /* ids, or rows */
    size_t done;                 /* of them */
    uint64_t unseen;             /* of those done */
    bool started;
    bool by_id;     /* or rows one after the other */
    uint64_t first; /* of those */
    /* Of the window's places, where there is a sum; NULL: not protected. */
    const uint8_t *residuals[WINDOW_IDS];
};

/* Readies a lookup of ids. Errors of nb_lookup(). */
int lookup_ids(struct lookup *lookup, const struct kernel *kernel,
               const struct nb_rows *rows, const struct nb_ids *ids,
               const struct nb_unseen_policy *unseen, uint32_t dtype);

/* Decodes the next source.window_ids ids, or what is left, into `out`; they are
 * then in `window`, rows that are not there as NULL. NB_ERR_UNSEEN. */
int lookup_next(struct lookup *lookup, uint8_t *out);

#endif
