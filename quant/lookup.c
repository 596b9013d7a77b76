/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "quant/batch.h"
#include "quant/window.h"

/* A request for rows, decoded or as they are. */
struct lookup {
    struct window window;
    struct kernel_job job;
    const struct kernel *kernel; /* NULL: NB_PACKED */
    size_t out_bytes;            /* of a row of the result */
};

static int lookup_init(struct lookup *lookup, const struct kernel *kernel,
                       uint32_t dtype)
{
    const struct nb_format *format = &lookup->window.rows->format;

    window_job(&lookup->window, &lookup->job);
    lookup->job.dtype = dtype;
    if (dtype == NB_PACKED) {
        lookup->kernel = NULL;
        lookup->out_bytes = lookup->window.row_bytes;
        return 0;
    }
    if (nb_dtype_bytes(dtype) == 0) {
        return NB_ERR_INVALID;
    }
    lookup->kernel =
        kernel != NULL ? kernel : kernel_find(KERNEL_decode, format->codec);
    if (lookup->kernel == NULL) {
        return NB_ERR_UNSUPPORTED;
    }
    lookup->out_bytes = format->dim * nb_dtype_bytes(dtype);
    lookup->job.out_stride = lookup->out_bytes;
    return 0;
}

/* n rows from at[first] on, none of them NULL. */
static void copy_rows(const struct lookup *lookup, size_t first, size_t n,
                      uint8_t *out)
{
    const uint8_t *const *at = lookup->window.at + first;
    size_t bytes = lookup->out_bytes;

    for (size_t i = 0; i < n; i++) {
        kernel_prefetch(at[i + KERNEL_AHEAD], bytes);
        memcpy(out + i * bytes, at[i], bytes);
    }
}

static void decode_rows(struct lookup *lookup, size_t first, size_t n,
                        uint8_t *out)
{
    if (lookup->kernel == NULL) {
        copy_rows(lookup, first, n, out);
        return;
    }
    lookup->job.rows = lookup->window.at + first;
    lookup->job.n_rows = n;
    lookup->job.out = out;
    kernel_run(lookup->kernel, &lookup->job);
}

/* The window's n rows; zeros for those that are not there. */
static void decode_window(struct lookup *lookup, size_t n, uint8_t *out)
{
    const uint8_t **at = lookup->window.at;
    size_t done = 0;

    if (lookup->window.unseen == 0 || lookup->window.absent != NULL) {
        decode_rows(lookup, 0, n, out);
        return;
    }
    while (done < n) {
        size_t end = done;
        while (end < n && at[end] != NULL) {
            end++;
        }
        size_t zeros = end;
        while (zeros < n && at[zeros] == NULL) {
            at[zeros++] = lookup->window.rows->base; /* may be prefetched */
        }
        decode_rows(lookup, done, end - done, out + done * lookup->out_bytes);
        memset(out + end * lookup->out_bytes, 0,
               (zeros - end) * lookup->out_bytes);
        done = zeros;
    }
}

int batch_lookup(const struct kernel *kernel, const struct nb_rows *rows,
                 const struct nb_lookup *request, void *out, uint64_t *unseen)
{
    struct lookup lookup;
    const struct nb_ids *ids = &request->ids;
    uint64_t total = 0;

    int rv = window_init(&lookup.window, rows, ids, &request->unseen);
    if (rv == 0) {
        rv = lookup_init(&lookup, kernel, request->dtype);
    }
    for (size_t i = 0; rv == 0 && i < ids->n; i += WINDOW_IDS) {
        size_t n = ids->n - i < WINDOW_IDS ? ids->n - i : WINDOW_IDS;
        rv = window_load(&lookup.window, i, n);
        if (rv != 0) {
            break;
        }
        if (i == 0) {
            window_prefetch(&lookup.window, n);
        }
        decode_window(&lookup, n, (uint8_t *)out + i * lookup.out_bytes);
        total += lookup.window.unseen;
    }
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

    int rv = window_init(&lookup.window, rows, &no_ids, &no_policy);
    if (rv == 0) {
        rv = lookup_init(&lookup, NULL, dtype);
    }
    if (rv != 0) {
        return rv;
    }
    if (first > rows->n_rows || n_rows > rows->n_rows - first) {
        return NB_ERR_INVALID;
    }
    for (size_t i = 0; i < n_rows; i += WINDOW_IDS) {
        size_t n = n_rows - i < WINDOW_IDS ? n_rows - i : WINDOW_IDS;
        window_load_rows(&lookup.window, first + i, n);
        decode_window(&lookup, n, (uint8_t *)out + i * lookup.out_bytes);
    }
    return 0;
}
