/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <string.h>

#include "quant/batch.h"
#include "quant/columns.h"
#include "quant/pooling.h"
#include "quant/protect.h"
#include "quant/window.h"

/* What is pooled at once: whole bags that fit a window, or a part of a bag that
 * does not. */
struct step {
    size_t first; /* id */
    size_t n;     /* ids */
    size_t bag;   /* the first */
    size_t n_bags;
    uint32_t col; /* part of a bag: the first column of the one tile */
    bool whole;   /* whole bags, all tiles */
    bool resume;  /* part: rows of the bag came before */
    bool suspend; /* part: more of the bag comes after */
};

/* A step and its rows. There are two, on the stack: order is that of use.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct stage {
    struct step step;
    struct window window;
    const uint32_t *counts; /* rows of each bag: the lengths, or these */
    uint32_t seen[WINDOW_IDS];
    const float *weights; /* one a row or NULL: the request's, or these */
    float seen_weights[WINDOW_IDS];
    const float *shares; /* of rows in the means: NULL as weights, or these */
    float seen_shares[WINDOW_IDS];
};

/* A request. Bags are taken as many at a time as fit a window; a longer one is
 * done in parts of a block, tile by tile. While a stage is pooled the rows
 * of the next are prefetched. One, large: order is that of use, and it is not
 * cleared.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct pooling {
    const struct nb_pool *request;
    const struct kernel *kernel;
    const struct kernel *decode; /* for bags of one row; NULL: as others */
    struct row_source source;
    struct stage stages[2];
    struct stage *stage; /* loaded, once it is started, to be pooled next */
    struct stage *next;  /* the other one */
    bool started;
    struct kernel_job job;
    struct kernel_sums sums; /* of a bag in parts */
    struct columns columns;
    /* Where the next step begins. */
    size_t bag;
    size_t first;
    uint32_t done; /* ids of the bag, if in parts */
    uint32_t col;
    bool any; /* rows of the bag were seen */
    uint64_t unseen;
    uint8_t *out;
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
    int rv = row_source_init(&pooling->source, rows, &request->ids,
                             &request->unseen);
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
    pooling->decode =
        kernel == NULL && request->weights == NULL && rows->protect == NULL
            ? kernel_find(KERNEL_decode, rows->format.codec)
            : NULL;
    pooling->request = request;
    pooling->stage = &pooling->stages[0];
    pooling->next = &pooling->stages[1];
    pooling->started = false;
    pooling->bag = 0;
    pooling->first = 0;
    pooling->done = 0;
    pooling->col = 0;
    pooling->any = false;
    pooling->unseen = 0;
    columns_init(&pooling->columns, rows);
    row_source_job(&pooling->source, &pooling->job);
    pooling->job.dtype = request->dtype;
    pooling->job.out_stride = rows->format.dim * nb_dtype_bytes(request->dtype);
    size_t mean_length =
        request->n_bags > 0 ? request->ids.n / request->n_bags : 0;
    row_source_size(&pooling->source, pooling->job.out_stride /
                                          (mean_length > 1 ? mean_length : 1));
    return 0;
}

/* ---- steps ----------------------------------------------------------- */

/* The next part of a bag longer than a window. After its last part comes the
 * next tile, and after the last tile the next bag. */
static void next_part(struct pooling *pooling, uint32_t length,
                      struct step *step)
{
    uint32_t left = length - pooling->done;
    uint32_t most = (uint32_t)pooling->source.block_ids;
    uint32_t n = left < most ? left : most;

    step->first = pooling->first + pooling->done;
    step->n = n;
    step->n_bags = 1;
    step->col = pooling->col;
    step->whole = false;
    step->suspend = n < left;
    pooling->done += n;
    if (pooling->done == length) {
        pooling->done = 0;
        pooling->col += pooling->kernel->tile;
    }
    if (pooling->col >= pooling->job.dim) {
        pooling->col = 0;
        pooling->first += length;
        pooling->bag++;
    }
}

/* As many bags as fit, and up to as many more as kernels take together, but
 * never more ids than a block: with protected rows each may become two rows.
 * The window is not filled up where a long bag begins. */
static void next_bags(struct pooling *pooling, struct step *step)
{
    const struct nb_pool *request = pooling->request;
    size_t most = pooling->source.window_ids;
    size_t block = pooling->source.block_ids;
    size_t group = pooling->job.dim <= 32 ? 4 : pooling->job.dim <= 64 ? 2 : 1;
    size_t n = 0;
    size_t n_bags = 0;

    while (pooling->bag < request->n_bags && n_bags < WINDOW_IDS) {
        uint32_t length = request->lengths[pooling->bag];
        size_t room = n_bags % group == 0 ? most : most + most / 4;
        room = room < block ? room : block;
        if (n_bags > 0 && n + length > room) {
            break;
        }
        n += length;
        n_bags++;
        pooling->bag++;
    }
    step->first = pooling->first;
    step->n = n;
    step->n_bags = n_bags;
    step->col = 0;
    step->whole = true;
    step->suspend = false;
    pooling->first += n;
}

/* Field by field where it stays: a copy made of wider words would wait for the
 * narrower ones to be written. n_bags is 0 after the last step. */
static void next_step(struct pooling *pooling, struct step *step)
{
    const struct nb_pool *request = pooling->request;

    step->bag = pooling->bag;
    step->resume = false;
    if (pooling->bag == request->n_bags) {
        step->first = pooling->first;
        step->n = 0;
        step->n_bags = 0;
    } else if (request->lengths[pooling->bag] > pooling->source.block_ids) {
        next_part(pooling, request->lengths[pooling->bag], step);
    } else {
        next_bags(pooling, step);
    }
}

/* ---- stages ---------------------------------------------------------- */

/* The rows that are left of a stage's ids. */
struct arranged {
    struct stage *stage;
    size_t n;
};

/* The mean is in every row but a residual row. */
static void put_row(struct arranged *arranged, const uint8_t *row, float weight,
                    float share)
{
    struct stage *stage = arranged->stage;
    assert(arranged->n < WINDOW_IDS);
    stage->window.at[arranged->n] = row;
    stage->seen_weights[arranged->n] = weight;
    stage->seen_shares[arranged->n] = share;
    arranged->n++;
}

/* Leaves the seen rows, each with its residual row if it has one, and their
 * counts and weights. */
static void arrange(struct pooling *pooling, struct stage *stage,
                    const uint32_t *lengths)
{
    const struct nb_rows *rows = pooling->source.rows;
    const uint8_t *ids_at[WINDOW_IDS];
    const float *weights = stage->weights;
    struct arranged arranged = {stage, 0};
    size_t from = 0;

    memcpy(ids_at, stage->window.at, stage->window.n * sizeof(*ids_at));
    for (size_t b = 0; b < stage->step.n_bags; b++) {
        size_t end = from + lengths[b];
        size_t start = arranged.n;
        for (; from < end; from++) {
            const uint8_t *row = ids_at[from];
            float weight = weights != NULL ? weights[from] : 1;
            if (row == NULL) {
                continue;
            }
            put_row(&arranged, row, weight, weight);
            row = rows->protect != NULL ? protect_residual(rows, row) : NULL;
            if (row != NULL) {
                put_row(&arranged, row, weight, 0);
            }
        }
        stage->seen[b] = (uint32_t)(arranged.n - start);
    }
    window_end(&stage->window, &pooling->source, arranged.n);
    stage->counts = stage->seen;
    stage->weights = weights != NULL ? stage->seen_weights : NULL;
    stage->shares = rows->protect != NULL ? stage->seen_shares : NULL;
}

/* Takes the next step's rows, to be prefetched. */
static void load(struct pooling *pooling, struct stage *stage)
{
    next_step(pooling, &stage->step);
    window_load(&stage->window, &pooling->source, stage->step.first,
                stage->step.n);
}

/* Leaves the rows that are there. Stages are settled in order. */
static int settle(struct pooling *pooling, struct stage *stage)
{
    const struct nb_pool *request = pooling->request;
    struct step *step = &stage->step;
    int rv = window_settle(&stage->window, &pooling->source);

    if (rv != 0) {
        return rv;
    }
    uint32_t length = (uint32_t)step->n;
    stage->counts = request->lengths + step->bag;
    if (!step->whole) {
        stage->seen[0] = length;
        stage->counts = stage->seen;
    }
    stage->weights =
        request->weights != NULL ? request->weights + step->first : NULL;
    stage->shares = NULL;
    if (window_has_gaps(&pooling->source, &stage->window) ||
        pooling->source.rows->protect != NULL) {
        arrange(pooling, stage,
                step->whole ? request->lengths + step->bag : &length);
    }
    if (step->whole || step->col == 0) {
        pooling->unseen += stage->window.unseen;
    }
    if (!step->whole) {
        step->resume = pooling->any;
        pooling->any = step->suspend && (pooling->any || stage->window.n > 0);
    }
    return 0;
}

static void run_tile(struct pooling *pooling, const struct step *step,
                     uint32_t col)
{
    struct kernel_job *job = &pooling->job;
    uint32_t left = job->dim - col;
    uint32_t tile = pooling->kernel->tile;

    job->col = col;
    job->width = left < tile ? left : tile;
    job->out = pooling->out + step->bag * job->out_stride +
               col * nb_dtype_bytes(job->dtype);
    if (pooling->columns.mean != NULL) {
        columns_run(&pooling->columns, pooling->kernel, job);
    } else {
        kernel_run(pooling->kernel, job);
    }
    job->n_ahead = 0;
}

/* A bag of one row without weight is the row: sum, mean or greatest. */
static bool all_single(const struct stage *stage, const uint32_t *lengths)
{
    if (!stage->step.whole || stage->counts != lengths ||
        stage->step.n != stage->step.n_bags) {
        return false;
    }
    uint32_t others = 0;
    for (size_t b = 0; b < stage->step.n_bags; b++) {
        others |= lengths[b] ^ 1u;
    }
    return others == 0;
}

static void run(struct pooling *pooling, const struct stage *stage,
                const struct stage *next)
{
    const struct step *step = &stage->step;
    const uint32_t *lengths = pooling->request->lengths + step->bag;
    struct kernel_job *job = &pooling->job;

    job->rows = stage->window.at;
    job->n_rows = stage->window.n;
    job->ahead = next->window.at;
    job->n_ahead = next->window.n;
    job->counts = stage->counts;
    job->n_bags = step->n_bags;
    job->weights = stage->weights;
    pooling->columns.shares = stage->shares;
    job->lengths = pooling->request->pooling == NB_MEAN ? lengths : NULL;
    job->sums = step->whole ? NULL : &pooling->sums;
    job->resume = step->resume;
    job->suspend = step->suspend;
    if (!step->whole) {
        run_tile(pooling, step, step->col);
        return;
    }
    /* A columns transform is of sums, finished elsewhere. */
    if (pooling->decode != NULL && pooling->columns.mean == NULL &&
        all_single(stage, lengths)) {
        job->out = pooling->out + step->bag * job->out_stride;
        kernel_run(pooling->decode, job);
        return;
    }
    for (uint32_t col = 0; col < job->dim; col += pooling->kernel->tile) {
        run_tile(pooling, step, col);
    }
}

static struct nb_ids ids_from(const struct nb_ids *ids, size_t first, size_t n)
{
    return (struct nb_ids){
        .u64 = ids->u64 != NULL ? ids->u64 + first : NULL,
        .u32 = ids->u32 != NULL ? ids->u32 + first : NULL,
        .n = n,
    };
}

/* ---- the greatest of protected rows ------------------------------------ */

static bool is_greatest(const struct pooling *pooling)
{
    return pooling->source.rows->protect != NULL &&
           pooling->request->pooling == NB_MAX;
}

/* Whole bags. */
static struct nb_pool next_greatest(const struct pooling *pooling,
                                    size_t max_ids, size_t max_bags)
{
    const struct nb_pool *request = pooling->request;
    struct nb_pool part = *request;
    size_t n = 0;
    size_t end = pooling->bag;

    while (end < request->n_bags) {
        uint32_t length = request->lengths[end];
        if (end > pooling->bag &&
            (end - pooling->bag == max_bags || n + length > max_ids)) {
            break;
        }
        n += length;
        end++;
    }
    part.n_bags = end - pooling->bag;
    part.lengths = part.n_bags > 0 ? request->lengths + pooling->bag : NULL;
    part.ids = ids_from(&request->ids, pooling->first, n);
    return part;
}

static int run_greatest(struct pooling *pooling, size_t max_ids,
                        size_t max_bags)
{
    struct nb_pool part = next_greatest(pooling, max_ids, max_bags);
    uint64_t unseen;
    int rv = protect_max(pooling->source.rows, &part,
                         pooling->out + pooling->bag * pooling->job.out_stride,
                         &unseen);

    if (rv != 0) {
        return rv;
    }
    pooling->unseen += unseen;
    pooling->first += part.ids.n;
    pooling->bag += part.n_bags;
    return pooling->bag < pooling->request->n_bags;
}

/* ---- parts ------------------------------------------------------------- */

/* Steps up to the limits, and one at least. Where ids come again, for the next
 * tile, a part ends: its ids are one behind the other. */
static int run_steps(struct pooling *pooling, size_t max_ids, size_t max_bags)
{
    struct stage *stage = pooling->stage;
    struct stage *next = pooling->next;
    size_t n = 0;
    size_t n_bags = 0;
    size_t end;

    if (!pooling->started) {
        pooling->started = true;
        load(pooling, stage);
        window_prefetch(&stage->window, &pooling->source, 0);
    }
    if (stage->step.n_bags == 0) {
        return 0;
    }
    do {
        int rv = settle(pooling, stage);
        if (rv != 0) {
            return rv;
        }
        load(pooling, next);
        run(pooling, stage, next);
        window_prefetch(&next->window, &pooling->source, stage->window.n);
        n += stage->step.n;
        n_bags += stage->step.n_bags;
        end = stage->step.first + stage->step.n;
        struct stage *done = stage;
        stage = next;
        next = done;
    } while (stage->step.n_bags > 0 && stage->step.first == end &&
             n + stage->step.n <= max_ids &&
             n_bags + stage->step.n_bags <= max_bags);
    pooling->stage = stage;
    pooling->next = next;
    return stage->step.n_bags > 0;
}

int pooling_next(struct pooling *pooling, size_t max_ids, size_t max_bags,
                 uint64_t *unseen)
{
    int rv = is_greatest(pooling) ? run_greatest(pooling, max_ids, max_bags)
                                  : run_steps(pooling, max_ids, max_bags);
    if (rv == 0) {
        *unseen = pooling->unseen;
    }
    return rv;
}

struct nb_ids pooling_ahead(const struct pooling *pooling, size_t max_ids,
                            size_t max_bags)
{
    if (is_greatest(pooling)) {
        return next_greatest(pooling, max_ids, max_bags).ids;
    }
    const struct nb_ids *ids = &pooling->request->ids;
    size_t first = pooling->started ? pooling->stage->step.first : 0;
    size_t most = max_ids > POOLING_IDS ? max_ids : POOLING_IDS;
    size_t left = ids->n - first;
    return ids_from(ids, first, left < most ? left : most);
}

size_t pooling_bytes(void)
{
    return sizeof(struct pooling) + _Alignof(struct pooling) - 1;
}

int pooling_begin(void *memory, const struct kernel *kernel,
                  const struct nb_rows *rows, const struct nb_pool *request,
                  void *out, struct pooling **pooling)
{
    size_t past = (uintptr_t)memory % _Alignof(struct pooling);
    size_t skip = past != 0 ? _Alignof(struct pooling) - past : 0;
    *pooling = (void *)((uint8_t *)memory + skip);
    (*pooling)->out = out;
    return pooling_init(*pooling, kernel, rows, request);
}

/* Most requests are small. With all that it calls inline, and without limits,
 * it takes hardly more instructions than if there were no parts. */
__attribute__((flatten)) int batch_pool(const struct kernel *kernel,
                                        const struct nb_rows *rows,
                                        const struct nb_pool *request,
                                        void *out, uint64_t *unseen)
{
    struct pooling pooling;
    int rv = pooling_init(&pooling, kernel, rows, request);

    if (rv != 0) {
        return rv;
    }
    pooling.out = out;
    do {
        rv = pooling_next(&pooling, SIZE_MAX, SIZE_MAX, unseen);
    } while (rv > 0);
    return rv;
}

int nb_pool(const struct nb_rows *rows, const struct nb_pool *request,
            void *out, uint64_t *unseen)
{
    return batch_pool(NULL, rows, request, out, unseen);
}
