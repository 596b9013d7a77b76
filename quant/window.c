/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/window.h"

#include "quant/bytes.h"
#include "quant/checked.h"
#include "quant/codec/codec.h"
#include "quant/protect.h"

static const uint8_t *row_at(const struct nb_rows *rows, uint64_t row)
{
    return (const uint8_t *)rows->base + row * rows->stride;
}

static bool check_keys(const struct nb_rows *rows, size_t row_bytes)
{
    const struct nb_keys *keys = rows->keys;
    return keys == NULL ||
           (rows->stride - row_bytes >= NB_KEY_BYTES && keys->n_parts > 0 &&
            keys->n_buckets > 0 && keys->parts != NULL && keys->pilots != NULL);
}

static int check_rows(const struct nb_rows *rows, size_t *row_bytes)
{
    uint64_t bytes;
    int rv = nb_row_bytes(&rows->format, row_bytes);
    if (rv == 0) {
        rv = codec_check_params(&rows->format, rows->params, NULL);
    }
    if (rv != 0) {
        return rv;
    }
    if (rows->stride < *row_bytes ||
        !checked_mul(rows->n_rows, rows->stride, &bytes) ||
        bytes > PTRDIFF_MAX || (rows->base == NULL && rows->n_rows > 0) ||
        !check_keys(rows, *row_bytes) || !protect_good(rows, *row_bytes)) {
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

/* 12 KiB a window beat 24, 16, 8 and 6 with an L1 cache of 48. A row takes its
 * bytes and half a line at either end. */
void row_source_size(struct row_source *source, size_t out_bytes)
{
    const size_t window_bytes = (size_t)12 * 1024;
    const size_t least = 32;
    size_t ids = window_bytes / (source->touch_bytes + KERNEL_LINE + out_bytes);

    if (ids < least) {
        ids = least;
    }
    source->window_ids = ids < source->block_ids ? ids : source->block_ids;
}

int row_source_init(struct row_source *source, const struct nb_rows *rows,
                    const struct nb_ids *ids,
                    const struct nb_unseen_policy *policy)
{
    int rv = check_rows(rows, &source->row_bytes);
    if (rv == 0) {
        rv = check_ids(ids);
    }
    if (rv != 0) {
        return rv;
    }
    source->rows = rows;
    source->touch_bytes =
        source->row_bytes + (rows->keys != NULL ? NB_KEY_BYTES : 0);
    source->ring.next = 0;
    source->ids = ids;
    source->block_ids = rows->protect != NULL ? PROTECT_IDS : WINDOW_IDS;
    source->locate = kernel_find(KERNEL_locate, CODEC_any);
    source->absent = NULL;
    source->refuse = false;
    switch (policy->action) {
    case NB_UNSEEN_ZERO:
        return 0;
    case NB_UNSEEN_DEFAULT:
        if (policy->default_row >= rows->n_rows) {
            return NB_ERR_INVALID;
        }
        source->absent = row_at(rows, policy->default_row);
        return 0;
    case NB_UNSEEN_ERROR:
        source->refuse = true;
        return 0;
    default:
        return NB_ERR_INVALID;
    }
}

void window_end(struct window *window, const struct row_source *source,
                size_t n)
{
    window->n = n;
    for (size_t i = 0; i < KERNEL_PAD; i++) {
        window->at[n + i] = source->rows->base;
    }
}

/* ---- ids that are row numbers ---------------------------------------- */

static void locate_numbers(struct window *window,
                           const struct row_source *source, size_t first,
                           size_t n)
{
    const struct nb_rows *rows = source->rows;
    const struct nb_ids *ids = source->ids;
    struct kernel_ids part = {
        .u64 = ids->u64 != NULL ? ids->u64 + first : NULL,
        .u32 = ids->u32 != NULL ? ids->u32 + first : NULL,
        .n = n,
        .base = (uintptr_t)rows->base,
        .stride = rows->stride,
        .n_rows = rows->n_rows,
        .absent = source->absent,
        .at = window->at,
        .unseen = &window->unseen,
    };
    window->unseen = 0;
    if (n > 0) { /* else the ids may be NULL */
        kernel_run_locate(source->locate, &part);
    }
}

/* ---- ids that are keys ----------------------------------------------- */

static uint64_t id_at(const struct nb_ids *ids, size_t i)
{
    return ids->u64 != NULL ? ids->u64[i] : ids->u32[i];
}

static struct key_probe *ring_at(struct key_ring *ring, size_t i)
{
    return &ring->probes[i % KEYS_AHEAD];
}

static void probe_next(struct row_source *source)
{
    struct key_ring *ring = &source->ring;
    struct key_probe *probe = ring_at(ring, ring->next);
    *probe = key_probe(source->rows->keys, id_at(source->ids, ring->next));
    __builtin_prefetch(probe->pilot);
    ring->next++;
}

/* Where the key of each id would be, not yet looked at; NULL for nowhere. The
 * parts of a long bag come once a tile, so `first` may go back. */
static void locate_keys(struct window *window, struct row_source *source,
                        size_t first, size_t n)
{
    struct key_ring *ring = &source->ring;
    size_t n_ids = source->ids->n;
    if (first + KEYS_AHEAD < ring->next || first > ring->next) {
        ring->next = first;
    }
    for (size_t i = first; i < first + n; i++) {
        while (ring->next < n_ids && ring->next < i + KEYS_AHEAD) {
            probe_next(source);
        }
        const struct key_probe *probe = ring_at(ring, i);
        const uint8_t *row = probe->part->n_rows > 0
                                 ? row_at(source->rows, key_probe_row(probe))
                                 : NULL;
        window->at[i - first] = row;
    }
    window->unseen = 0;
}

static uint64_t settle_keys(struct window *window,
                            const struct row_source *source)
{
    uint64_t unseen = 0;
    for (size_t i = 0; i < window->n; i++) {
        const uint8_t *row = window->at[i];
        bool seen = row != NULL && get_u64(row + source->row_bytes) ==
                                       id_at(source->ids, window->first + i);
        window->at[i] = seen ? row : source->absent;
        unseen += !seen;
    }
    return unseen;
}

/* ---- windows --------------------------------------------------------- */

void window_load(struct window *window, struct row_source *source, size_t first,
                 size_t n)
{
    window->first = first;
    if (source->rows->keys != NULL) {
        locate_keys(window, source, first, n);
    } else {
        locate_numbers(window, source, first, n);
    }
    window_end(window, source, n);
}

int window_settle(struct window *window, const struct row_source *source)
{
    if (source->rows->keys != NULL) {
        window->unseen = settle_keys(window, source);
    }
    return source->refuse && window->unseen > 0 ? NB_ERR_UNSEEN : 0;
}

void window_load_rows(struct window *window, const struct row_source *source,
                      uint64_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        window->at[i] = row_at(source->rows, first + i);
    }
    window->unseen = 0;
    window_end(window, source, n);
}

void window_prefetch(const struct window *window,
                     const struct row_source *source, size_t first)
{
    for (size_t i = first; i < window->n; i++) {
        if (window->at[i] != NULL) {
            kernel_prefetch(window->at[i], source->touch_bytes);
        }
    }
}

void row_source_job(const struct row_source *source, struct kernel_job *job)
{
    *job = (struct kernel_job){
        .row_bytes = source->row_bytes,
        .touch_bytes = source->touch_bytes,
        .dim = source->rows->format.dim,
        .scales = source->rows->format.scales,
        .params = source->rows->params,
    };
}
