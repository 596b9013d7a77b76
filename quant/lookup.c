/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/lookup.h"

#include <string.h>

#include "quant/batch.h"
#include "quant/protect.h"

static int choose_kernels(struct lookup *lookup, const struct kernel *kernel,
                          uint32_t dtype)
{
    const struct nb_rows *rows = lookup->source.rows;
    uint32_t codec = rows->format.codec;
    enum kernel_op op = KERNEL_decode;

    lookup->kernel = NULL;
    lookup->sum = NULL;
    if (dtype == NB_PACKED) {
        return rows->protect != NULL ? NB_ERR_UNSUPPORTED : 0;
    }
    if (nb_dtype_bytes(dtype) == 0) {
        return NB_ERR_INVALID;
    }
    if (lookup->columns.mean != NULL) {
        op = KERNEL_max;
        kernel = NULL;
    }
    lookup->kernel = kernel != NULL ? kernel : kernel_find(op, codec);
    if (rows->protect != NULL) {
        lookup->sum = kernel_find(KERNEL_sum, codec);
        return lookup->kernel != NULL && lookup->sum != NULL
                   ? 0
                   : NB_ERR_UNSUPPORTED;
    }
    return lookup->kernel != NULL ? 0 : NB_ERR_UNSUPPORTED;
}

static int lookup_init(struct lookup *lookup, const struct kernel *kernel,
                       uint32_t dtype)
{
    const struct nb_rows *rows = lookup->source.rows;

    columns_init(&lookup->columns, rows);
    row_source_job(&lookup->source, &lookup->job);
    lookup->job.dtype = dtype;
    int rv = choose_kernels(lookup, kernel, dtype);
    if (rv != 0) {
        return rv;
    }
    lookup->out_bytes = lookup->kernel != NULL
                            ? rows->format.dim * nb_dtype_bytes(dtype)
                            : lookup->source.row_bytes;
    lookup->job.out_stride = lookup->out_bytes;
    row_source_size(&lookup->source, lookup->out_bytes);
    lookup->started = false;
    return 0;
}

int lookup_ids(struct lookup *lookup, const struct kernel *kernel,
               const struct nb_rows *rows, const struct nb_ids *ids,
               const struct nb_unseen_policy *unseen, uint32_t dtype)
{
    int rv = row_source_init(&lookup->source, rows, ids, unseen);
    lookup->by_id = true;
    lookup->n = ids->n;
    return rv == 0 ? lookup_init(lookup, kernel, dtype) : rv;
}

static int lookup_rows(struct lookup *lookup, const struct nb_rows *rows,
                       uint64_t first, size_t n_rows, uint32_t dtype)
{
    static const struct nb_ids no_ids;
    static const struct nb_unseen_policy no_policy;

    int rv = row_source_init(&lookup->source, rows, &no_ids, &no_policy);
    if (rv == 0) {
        rv = lookup_init(lookup, NULL, dtype);
    }
    if (rv != 0) {
        return rv;
    }
    if (first > rows->n_rows || n_rows > rows->n_rows - first) {
        return NB_ERR_INVALID;
    }
    lookup->by_id = false;
    lookup->first = first;
    lookup->n = n_rows;
    return 0;
}

/* ---- rows of a window ------------------------------------------------ */

/* Of 32 to 64 bytes, as most rows are, two moves that overlap; calling memcpy()
 * takes longer than they do. */
static inline void copy_row(uint8_t *to, const uint8_t *row, size_t bytes)
{
    if (bytes - 32 <= 32) {
        memcpy(to, row, 32);
        memcpy(to + bytes - 32, row + bytes - 32, 32);
    } else {
        memcpy(to, row, bytes);
    }
}

/* The job's rows as they are. */
static void copy_rows(const struct kernel_job *job)
{
    for (size_t i = 0; i < job->n_rows; i++) {
        kernel_prefetch_ahead(job, i, 1);
        copy_row(job->out + i * job->row_bytes, job->rows[i], job->row_bytes);
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

static const uint32_t twos[PROTECT_IDS] = {[0 ... PROTECT_IDS - 1] = 2};

/* As decode_rows(), of protected rows: each is a sum, of itself and its
 * residual row. */
static void sum_rows(struct lookup *lookup, const struct window *window,
                     const struct window *next, size_t i, size_t end,
                     uint8_t *out)
{
    const uint8_t *both[WINDOW_IDS + KERNEL_PAD];
    float shares[WINDOW_IDS];
    struct columns columns = lookup->columns;
    struct kernel_job job = lookup->job;
    uint32_t tile = lookup->sum->tile;
    size_t n = 0;

    for (size_t k = i; k < end; k++) {
        both[n] = window->at[k];
        shares[n++] = 1;
        both[n] = lookup->residuals[k];
        shares[n++] = 0;
    }
    for (size_t k = 0; k < KERNEL_PAD; k++) {
        both[n + k] = lookup->source.rows->base;
    }
    columns.rows = false;
    columns.shares = shares;
    job.rows = both;
    job.n_rows = n;
    job.ahead = next->at + i;
    job.n_ahead = next->n > end ? end - i : next->n > i ? next->n - i : 0;
    job.counts = twos;
    job.n_bags = end - i;
    for (uint32_t col = 0; col < job.dim; col += tile) {
        job.col = col;
        job.width = job.dim - col < tile ? job.dim - col : tile;
        job.out = out + i * lookup->out_bytes + col * nb_dtype_bytes(job.dtype);
        if (columns.mean != NULL) {
            columns_run(&columns, lookup->sum, &job);
        } else {
            kernel_run(lookup->sum, &job);
        }
        job.n_ahead = 0;
    }
}

static void find_residuals(struct lookup *lookup, const struct window *window)
{
    for (size_t i = 0; i < window->n; i++) {
        const uint8_t *residual =
            window->at[i] != NULL
                ? protect_residual(lookup->source.rows, window->at[i])
                : NULL;
        lookup->residuals[i] = residual;
        if (residual != NULL) {
            kernel_prefetch(residual, lookup->source.row_bytes);
        }
    }
}

/* Whether two places of the window are of a kind: not there, protected, or
 * neither. */
static bool are_alike(const struct lookup *lookup, const struct window *window,
                      size_t i, size_t j)
{
    if (lookup->sum != NULL &&
        (lookup->residuals[i] == NULL) != (lookup->residuals[j] == NULL)) {
        return false;
    }
    return (window->at[i] == NULL) == (window->at[j] == NULL);
}

/* The window's rows, in runs of a kind; zeros for those that are not there. */
static void decode_window(struct lookup *lookup, const struct window *window,
                          const struct window *next, uint8_t *out)
{
    size_t bytes = lookup->out_bytes;
    bool mixed =
        lookup->sum != NULL || window_has_gaps(&lookup->source, window);
    size_t end;

    if (lookup->sum != NULL) {
        find_residuals(lookup, window);
    }
    for (size_t i = 0; i < window->n; i = end) {
        end = mixed ? i + 1 : window->n;
        while (end < window->n && are_alike(lookup, window, i, end)) {
            end++;
        }
        if (window->at[i] == NULL) {
            memset(out + i * bytes, 0, (end - i) * bytes);
        } else if (lookup->sum != NULL && lookup->residuals[i] != NULL) {
            sum_rows(lookup, window, next, i, end, out);
        } else {
            decode_rows(lookup, window, next, i, end, out);
        }
    }
    window_prefetch(next, &lookup->source, window->n);
}

/* ---- windows --------------------------------------------------------- */

/* As many ids (or rows) from number i on as fit. */
static void load(struct lookup *lookup, struct window *window, size_t i)
{
    size_t most = lookup->source.window_ids;
    size_t left = lookup->n - i;
    size_t part = left < most ? left : most;

    if (lookup->by_id) {
        window_load(window, &lookup->source, i, part);
    } else {
        window_load_rows(window, &lookup->source, lookup->first + i, part);
    }
}

static void start(struct lookup *lookup)
{
    lookup->started = true;
    lookup->window = &lookup->windows[0];
    lookup->next = &lookup->windows[1];
    lookup->done = 0;
    lookup->unseen = 0;
    load(lookup, lookup->next, 0);
    window_prefetch(lookup->next, &lookup->source, 0);
}

int lookup_next(struct lookup *lookup, uint8_t *out)
{
    if (!lookup->started) {
        start(lookup);
    }
    struct window *window = lookup->next;
    struct window *next = lookup->window;

    if (window->n > 0) {
        int rv = lookup->by_id ? window_settle(window, &lookup->source) : 0;
        if (rv != 0) {
            return rv;
        }
        load(lookup, next, lookup->done + window->n);
        decode_window(lookup, window, next, out);
        lookup->unseen += window->unseen;
        lookup->done += window->n;
    }
    lookup->window = window;
    lookup->next = next;
    return 0;
}

static int lookup_all(struct lookup *lookup, uint8_t *out)
{
    do {
        size_t at = lookup->started ? lookup->done * lookup->out_bytes : 0;
        int rv = lookup_next(lookup, out + at);
        if (rv != 0) {
            return rv;
        }
    } while (lookup->done < lookup->n);
    return 0;
}

int batch_lookup(const struct kernel *kernel, const struct nb_rows *rows,
                 const struct nb_lookup *request, void *out, uint64_t *unseen)
{
    struct lookup lookup;

    int rv = lookup_ids(&lookup, kernel, rows, &request->ids, &request->unseen,
                        request->dtype);
    if (rv == 0) {
        rv = lookup_all(&lookup, out);
    }
    if (rv == 0) {
        *unseen = lookup.unseen;
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
    struct lookup lookup;

    int rv = lookup_rows(&lookup, rows, first, n_rows, dtype);
    return rv == 0 ? lookup_all(&lookup, out) : rv;
}
