/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/window.h"

#include "quant/checked.h"
#include "quant/codec/codec.h"

static const uint8_t *row_at(const struct nb_rows *rows, uint64_t row)
{
    return (const uint8_t *)rows->base + row * rows->stride;
}

static int check_rows(const struct nb_rows *rows, size_t *row_bytes)
{
    uint64_t bytes;
    int rv = nb_row_bytes(&rows->format, row_bytes);
    if (rv != 0) {
        return rv;
    }
    if (rows->stride < *row_bytes ||
        !checked_mul(rows->n_rows, rows->stride, &bytes) ||
        bytes > PTRDIFF_MAX || (rows->base == NULL && rows->n_rows > 0)) {
        return NB_ERR_INVALID;
    }
    return 0;
}

static int check_ids(const struct nb_ids *ids)
{
    bool both = ids->u64 != NULL && ids->u32 != NULL;
    bool none = ids->u64 == NULL && ids->u32 == NULL;
    return both || (none && ids->n > 0) ? NB_ERR_INVALID : 0;
}

int window_init(struct window *window, const struct nb_rows *rows,
                const struct nb_ids *ids, const struct nb_unseen_policy *policy)
{
    int rv = check_rows(rows, &window->row_bytes);
    if (rv == 0) {
        rv = check_ids(ids);
    }
    if (rv != 0) {
        return rv;
    }
    window->rows = rows;
    window->locate = kernel_find(KERNEL_locate, CODEC_any);
    window->ids = ids;
    window->absent = NULL;
    window->refuse = false;
    switch (policy->action) {
    case NB_UNSEEN_ZERO:
        return 0;
    case NB_UNSEEN_DEFAULT:
        if (policy->default_row >= rows->n_rows) {
            return NB_ERR_INVALID;
        }
        window->absent = row_at(rows, policy->default_row);
        return 0;
    case NB_UNSEEN_ERROR:
        window->refuse = true;
        return 0;
    default:
        return NB_ERR_INVALID;
    }
}

/* Points at[0..n) at the rows of n ids; returns how many are not there. */
static uint64_t locate(const struct window *window, size_t first, size_t n,
                       const uint8_t *absent, const uint8_t **at)
{
    const struct nb_rows *rows = window->rows;
    const struct nb_ids *all = window->ids;
    uint64_t unseen = 0;
    struct kernel_ids ids = {
        .u64 = all->u64 != NULL ? all->u64 + first : NULL,
        .u32 = all->u32 != NULL ? all->u32 + first : NULL,
        .n = n,
        .base = (uintptr_t)rows->base,
        .stride = rows->stride,
        .n_rows = rows->n_rows,
        .absent = absent,
        .at = at,
        .unseen = &unseen,
    };
    kernel_run_locate(window->locate, &ids);
    return unseen;
}

static void fill(const uint8_t **at, size_t n, const uint8_t *row)
{
    for (size_t i = 0; i < n; i++) {
        at[i] = row;
    }
}

int window_load(struct window *window, size_t first, size_t n)
{
    const uint8_t *base = window->rows->base;
    size_t left = window->ids->n - first - n;
    size_t ahead = left < KERNEL_AHEAD ? left : KERNEL_AHEAD;

    window->unseen = locate(window, first, n, window->absent, window->at);
    locate(window, first + n, ahead, base, window->at + n);
    fill(window->at + n + ahead, KERNEL_AHEAD - ahead, base);
    return window->refuse && window->unseen > 0 ? NB_ERR_UNSEEN : 0;
}

void window_load_rows(struct window *window, uint64_t first, size_t n)
{
    const struct nb_rows *rows = window->rows;
    uint64_t left = rows->n_rows - first;
    size_t ahead = left < n + KERNEL_AHEAD ? (size_t)left : n + KERNEL_AHEAD;

    for (size_t i = 0; i < ahead; i++) {
        window->at[i] = row_at(rows, first + i);
    }
    fill(window->at + ahead, n + KERNEL_AHEAD - ahead, rows->base);
    window->unseen = 0;
}

void window_prefetch(const struct window *window, size_t n)
{
    size_t first = n < KERNEL_AHEAD ? n : KERNEL_AHEAD;
    for (size_t i = 0; i < first; i++) {
        if (window->at[i] != NULL) {
            kernel_prefetch(window->at[i], window->row_bytes);
        }
    }
}

void window_job(const struct window *window, struct kernel_job *job)
{
    *job = (struct kernel_job){
        .rows = window->at,
        .row_bytes = window->row_bytes,
        .dim = window->rows->format.dim,
        .scales = window->rows->format.scales,
    };
}
