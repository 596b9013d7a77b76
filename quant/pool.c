/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/batch.h"
#include "quant/window.h"

/* A request's pooling. Bags are taken as many at a time as fit a window; one
 * that does not fit is done in parts, tile by tile. */
struct pooling {
    const struct nb_pool *request;
    const struct kernel *kernel;
    struct window window;
    struct kernel_job job;
    uint64_t unseen;
    bool prefetched;
    /* Of the seen rows, where some ids stand for nothing. */
    uint32_t counts[WINDOW_IDS];
    float weights[WINDOW_IDS];
};

static int check_request(const struct nb_pool *request)
{
    uint64_t left = request->ids.n;

    if (request->pooling > NB_MAX || nb_dtype_bytes(request->dtype) == 0 ||
        (request->pooling == NB_MAX && request->weights != NULL) ||
        (request->lengths == NULL && request->n_bags > 0)) {
        return NB_ERR_INVALID;
    }
    for (size_t b = 0; b < request->n_bags; b++) {
        if (request->lengths[b] > left) {
            return NB_ERR_INVALID;
        }
        left -= request->lengths[b];
    }
    return left == 0 ? 0 : NB_ERR_INVALID;
}

static int pooling_init(struct pooling *pooling, const struct kernel *kernel,
                        const struct nb_rows *rows,
                        const struct nb_pool *request)
{
    enum kernel_op op = request->pooling == NB_MAX ? KERNEL_max : KERNEL_sum;
    int rv =
        window_init(&pooling->window, rows, &request->ids, &request->unseen);
    if (rv == 0) {
        rv = check_request(request);
    }
    if (rv != 0) {
        return rv;
    }
    pooling->kernel =
        kernel != NULL ? kernel : kernel_find(op, rows->format.codec);
    if (pooling->kernel == NULL) {
        return NB_ERR_UNSUPPORTED;
    }
    pooling->request = request;
    pooling->unseen = 0;
    pooling->prefetched = false;
    window_job(&pooling->window, &pooling->job);
    pooling->job.dtype = request->dtype;
    pooling->job.out_stride = rows->format.dim * nb_dtype_bytes(request->dtype);
    return 0;
}

/* Leaves the seen rows of n ids, and their counts and weights. */
static void drop_unseen(struct pooling *pooling, const uint32_t *lengths,
                        size_t n_bags, const float *weights, size_t n)
{
    const uint8_t **at = pooling->window.at;
    size_t from = 0;
    size_t to = 0;

    for (size_t b = 0; b < n_bags; b++) {
        size_t end = from + lengths[b];
        size_t start = to;
        for (; from < end; from++) {
            if (at[from] != NULL) {
                pooling->weights[to] = weights != NULL ? weights[from] : 0;
                at[to++] = at[from];
            }
        }
        pooling->counts[b] = (uint32_t)(to - start);
    }
    for (size_t i = 0; i < KERNEL_AHEAD; i++) {
        at[to + i] = at[n + i];
    }
    pooling->job.counts = pooling->counts;
    pooling->job.weights = weights != NULL ? pooling->weights : NULL;
}

/* Makes a job of n ids from `first` on, in bags of these lengths. */
static int load_bags(struct pooling *pooling, size_t first, size_t n,
                     const uint32_t *lengths, size_t n_bags)
{
    const float *weights = pooling->request->weights;
    struct kernel_job *job = &pooling->job;

    int rv = window_load(&pooling->window, first, n);
    if (rv != 0) {
        return rv;
    }
    if (!pooling->prefetched) {
        window_prefetch(&pooling->window, n);
        pooling->prefetched = true;
    }
    job->counts = lengths;
    job->n_bags = n_bags;
    job->weights = weights != NULL ? weights + first : NULL;
    if (pooling->window.unseen > 0 && pooling->window.absent == NULL) {
        drop_unseen(pooling, lengths, n_bags, job->weights, n);
    }
    return 0;
}

static void set_tile(struct kernel_job *job, const struct kernel *kernel,
                     uint32_t col, uint8_t *out)
{
    uint32_t left = job->dim - col;
    job->col = col;
    job->width = left < kernel->tile ? left : kernel->tile;
    job->out = out + col * nb_dtype_bytes(job->dtype);
}

/* Bags that fit a window. */
static int pool_bags(struct pooling *pooling, size_t first, size_t n,
                     size_t bag, size_t n_bags, uint8_t *out)
{
    const struct nb_pool *request = pooling->request;
    const uint32_t *lengths = request->lengths + bag;
    struct kernel_job *job = &pooling->job;

    int rv = load_bags(pooling, first, n, lengths, n_bags);
    if (rv != 0) {
        return rv;
    }
    job->lengths = request->pooling == NB_MEAN ? lengths : NULL;
    for (uint32_t col = 0; col < job->dim; col += pooling->kernel->tile) {
        set_tile(job, pooling->kernel, col, out);
        kernel_run(pooling->kernel, job);
    }
    pooling->unseen += pooling->window.unseen;
    return 0;
}

/* One tile of a bag of any size. */
static int pool_tile(struct pooling *pooling, size_t first, uint32_t length,
                     uint32_t col, uint8_t *out)
{
    struct kernel_sums sums;
    struct kernel_job *job = &pooling->job;
    uint64_t unseen = 0;

    set_tile(job, pooling->kernel, col, out);
    job->sums = &sums;
    job->resume = false;
    job->lengths = pooling->request->pooling == NB_MEAN ? &length : NULL;
    for (uint32_t done = 0; done < length;) {
        uint32_t left = length - done;
        uint32_t n = left < WINDOW_IDS ? left : WINDOW_IDS;
        int rv = load_bags(pooling, first + done, n, &n, 1);
        if (rv != 0) {
            return rv;
        }
        job->suspend = n < left;
        kernel_run(pooling->kernel, job);
        job->resume = job->resume || job->counts[0] > 0;
        unseen += pooling->window.unseen;
        done += n;
    }
    pooling->unseen += col == 0 ? unseen : 0;
    job->sums = NULL;
    job->resume = false;
    return 0;
}

static int pool_long_bag(struct pooling *pooling, size_t first, uint32_t length,
                         uint8_t *out)
{
    for (uint32_t col = 0; col < pooling->job.dim;
         col += pooling->kernel->tile) {
        int rv = pool_tile(pooling, first, length, col, out);
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

int batch_pool(const struct kernel *kernel, const struct nb_rows *rows,
               const struct nb_pool *request, void *out, uint64_t *unseen)
{
    struct pooling pooling;
    const uint32_t *lengths = request->lengths;
    size_t first = 0;
    size_t bag = 0;

    int rv = pooling_init(&pooling, kernel, rows, request);
    while (rv == 0 && bag < request->n_bags) {
        uint8_t *to = (uint8_t *)out + bag * pooling.job.out_stride;
        size_t n = lengths[bag];
        size_t end = bag + 1;
        if (n > WINDOW_IDS) {
            rv = pool_long_bag(&pooling, first, lengths[bag], to);
        } else {
            while (end < request->n_bags && end - bag < WINDOW_IDS &&
                   lengths[end] <= WINDOW_IDS - n) {
                n += lengths[end++];
            }
            rv = pool_bags(&pooling, first, n, bag, end - bag, to);
        }
        first += n;
        bag = end;
    }
    if (rv == 0) {
        *unseen = pooling.unseen;
    }
    return rv;
}

int nb_pool(const struct nb_rows *rows, const struct nb_pool *request,
            void *out, uint64_t *unseen)
{
    return batch_pool(NULL, rows, request, out, unseen);
}
