/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "quant/batch.h"
#include "quant/columns.h"
#include "quant/protect.h"
#include "quant/window.h"

/* A request for rows, decoded or as they are. */
struct lookup {
    struct window windows[2];
    struct row_source source;
    struct kernel_job job;
    struct columns columns;
    const struct kernel *kernel; /* NULL: NB_PACKED */
    size_t out_bytes;            /* of a row of the result */
    bool by_id;                  /* or rows one after the other */
    uint64_t first;              /* of those */
};

static int lookup_init(struct lookup *lookup, const struct kernel *kernel,
                       uint32_t dtype)
{
    const struct nb_rows *rows = lookup->source.rows;
    enum kernel_op op = KERNEL_decode;

    columns_init(&lookup->columns, rows);
    if (lookup->columns.mean != NULL) {
        op = KERNEL_max;
        kernel = NULL;
    }
    row_source_job(&lookup->source, &lookup->job);
    lookup->job.dtype = dtype;
    if (dtype == NB_PACKED) {
        lookup->kernel = NULL;
        lookup->out_bytes = lookup->source.row_bytes;
        row_source_size(&lookup->source, lookup->out_bytes);
        return 0;
    }
    if (nb_dtype_bytes(dtype) == 0) {
        return NB_ERR_INVALID;
    }
    lookup->kernel =
        kernel != NULL ? kernel : kernel_find(op, rows->format.codec);
    if (lookup->kernel == NULL) {
        return NB_ERR_UNSUPPORTED;
    }
    lookup->out_bytes = rows->format.dim * nb_dtype_bytes(dtype);
    lookup->job.out_stride = lookup->out_bytes;
    row_source_size(&lookup->source, lookup->out_bytes);
    return 0;
}

/* The job's rows as they are. */
static void copy_rows(const struct kernel_job *job)
{
    for (size_t i = 0; i < job->n_rows; i++) {
        kernel_prefetch_ahead(job, i, 1);
        memcpy(job->out + i * job->row_bytes, job->rows[i], job->row_bytes);
    }
}

/* Rows i to end of the window, none of them NULL. Those of the next window that
 * have the same places are prefetched. */
static void decode_rows(struct lookup *lookup, const struct window *window,
                        const struct window *next, size_t i, size_t end,
                        uint8_t *out)
{
    struct kernel_job *job = &lookup->job;

    job->rows = window->at + i;
    job->n_rows = end - i;
    job->ahead = next->at + i;
    job->n_ahead = next->n > i ? next->n - i : 0;
    job->out = out + i * lookup->out_bytes;
    if (lookup->kernel == NULL) {
        copy_rows(job);
    } else if (lookup->columns.mean != NULL) {
        columns_decode(&lookup->columns, lookup->kernel, job);
    } else {
        kernel_run(lookup->kernel, job);
    }
}

/* The window's rows; zeros for those that are not there. */
static void decode_window(struct lookup *lookup, const struct window *window,
                          const struct window *next, uint8_t *out)
{
    size_t bytes = lookup->out_bytes;
    size_t i = 0;

    while (i < window->n) {
        size_t end = window->n;
        if (window_has_gaps(&lookup->source, window)) {
            for (; i < end && window->at[i] == NULL; i++) {
                memset(out + i * bytes, 0, bytes);
            }
            for (end = i; end < window->n && window->at[end] != NULL;) {
                end++;
            }
        }
        decode_rows(lookup, window, next, i, end, out);
        i = end;
    }
    window_prefetch(next, &lookup->source, window->n);
}

/* Ids (or rows) i and up of n, as many as fit. */
static void load(struct lookup *lookup, struct window *window, size_t i,
                 size_t n)
{
    size_t most = lookup->source.window_ids;
    size_t part = n - i < most ? n - i : most;

    if (lookup->by_id) {
        window_load(window, &lookup->source, i, part);
    } else {
        window_load_rows(window, &lookup->source, lookup->first + i, part);
    }
}

/* Window after window; while one is decoded the next is prefetched. */
static int lookup_all(struct lookup *lookup, size_t n, uint8_t *out,
                      uint64_t *unseen)
{
    struct window *window = &lookup->windows[0];
    struct window *next = &lookup->windows[1];
    size_t done = 0;

    load(lookup, window, 0, n);
    window_prefetch(window, &lookup->source, 0);
    *unseen = 0;
    while (window->n > 0) {
        int rv = lookup->by_id ? window_settle(window, &lookup->source) : 0;
        if (rv != 0) {
            return rv;
        }
        load(lookup, next, done + window->n, n);
        decode_window(lookup, window, next, out + done * lookup->out_bytes);
        *unseen += window->unseen;
        done += window->n;
        struct window *decoded = window;
        window = next;
        next = decoded;
    }
    return 0;
}

int batch_lookup(const struct kernel *kernel, const struct nb_rows *rows,
                 const struct nb_lookup *request, void *out, uint64_t *unseen)
{
    struct lookup lookup;
    uint64_t total;

    int rv =
        row_source_init(&lookup.source, rows, &request->ids, &request->unseen);
    if (rv == 0) {
        rv = lookup_init(&lookup, kernel, request->dtype);
    }
    if (rv != 0) {
        return rv;
    }
    if (rows->protect != NULL) {
        return protect_lookup(rows, request, out, unseen);
    }
    lookup.by_id = true;
    rv = lookup_all(&lookup, request->ids.n, out, &total);
    if (rv == 0) {
        *unseen = total;
    }
    return rv;
}

int nb_lookup(const struct nb_rows *rows, const struct nb_lookup *request,
              void *out, uint64_t *unseen)
{
    return batch_lookup(NULL, rows, request, out, unseen);
}

int nb_decode(const struct nb_rows *rows, uint64_t first, size_t n_rows,
              uint32_t dtype, void *out)
{
    static const struct nb_ids no_ids;
    static const struct nb_unseen_policy no_policy;
    struct lookup lookup;
    uint64_t unseen;

    int rv = row_source_init(&lookup.source, rows, &no_ids, &no_policy);
    if (rv == 0) {
        rv = lookup_init(&lookup, NULL, dtype);
    }
    if (rv != 0) {
        return rv;
    }
    if (first > rows->n_rows || n_rows > rows->n_rows - first) {
        return NB_ERR_INVALID;
    }
    if (rows->protect != NULL) {
        return protect_decode(rows, first, n_rows, dtype, out);
    }
    lookup.by_id = false;
    lookup.first = first;
    return lookup_all(&lookup, n_rows, out, &unseen);
}
