/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/builder/row_sample.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "quant/checked.h"
#include "storage/builder/block_encode.h"
#include "storage/builder/error_sums.h"
#include "storage/mix64.h"

#define SEED       UINT64_C(0x73616d706c65)
#define VALUES     ((size_t)1 << 22)
#define ROWS_LEAST 64u
#define ROWS_FIRST 1024u /* of a sample that grows */

struct entry {
    double priority;
    double weight;
    uint64_t row;
    size_t slot; /* of its values */
};

/* A sample being taken: until it is full, entries as they come; from then on a
 * heap whose first entry is the next to go. */
struct sampler {
    const struct sample_options *options;
    struct nb_errctx *err;
    uint32_t dim;
    size_t max_rows;
    size_t capacity; /* of values and entries */
    float *values;   /* a slot for each entry */
    struct entry *entries;
    size_t n;
    double left_out; /* greatest priority that is */
    uint64_t n_source;
    uint64_t n_nonfinite;
    float *extremes;
};

size_t row_sample_rows(uint32_t dim)
{
    size_t n = VALUES / dim;
    return n > ROWS_LEAST ? n : ROWS_LEAST;
}

/* ---- which rows ---------------------------------------------------------- */

/* Of equal priorities the later row goes first. */
static bool goes_before(const struct entry *a, const struct entry *b)
{
    return a->priority != b->priority ? a->priority < b->priority
                                      : a->row > b->row;
}

static void sift_down(struct sampler *sampler, size_t at)
{
    struct entry *entries = sampler->entries;
    struct entry moving = entries[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < sampler->n &&
            goes_before(&entries[child + 1], &entries[child])) {
            child++;
        }
        if (child >= sampler->n || !goes_before(&entries[child], &moving)) {
            break;
        }
        entries[at] = entries[child];
        at = child;
    }
    entries[at] = moving;
}

static void leave_out(struct sampler *sampler, double priority)
{
    if (priority > sampler->left_out) {
        sampler->left_out = priority;
    }
}

/* Room for one more entry; false if there is no memory. */
static bool grow(struct sampler *sampler)
{
    if (sampler->n < sampler->capacity) {
        return true;
    }
    size_t capacity =
        sampler->capacity == 0 ? ROWS_FIRST : 2 * sampler->capacity;
    capacity = capacity < sampler->max_rows ? capacity : sampler->max_rows;
    uint64_t bytes;
    if (!checked_mul(capacity, sampler->dim * sizeof(float), &bytes)) {
        return false;
    }
    float *values = realloc(sampler->values, bytes);
    if (values == NULL) {
        return false;
    }
    sampler->values = values;
    struct entry *entries =
        reallocarray(sampler->entries, capacity, sizeof(*entries));
    if (entries == NULL) {
        return false;
    }
    sampler->entries = entries;
    sampler->capacity = capacity;
    return true;
}

static int offer(struct sampler *sampler, double weight, const float *values)
{
    struct entry entry = {.weight = weight, .row = sampler->n_source++};
    entry.priority = weight / mix64_unit(SEED, entry.row);
    if (sampler->n < sampler->max_rows) {
        if (!grow(sampler)) {
            return nb_fail(sampler->err, NB_ERR_NOMEM,
                           "out of memory for a sample of %zu rows",
                           sampler->n + 1);
        }
        entry.slot = sampler->n;
        sampler->entries[sampler->n++] = entry;
        for (size_t i = sampler->n / 2;
             sampler->n == sampler->max_rows && i > 0; i--) {
            sift_down(sampler, i - 1);
        }
    } else if (goes_before(&sampler->entries[0], &entry)) {
        leave_out(sampler, sampler->entries[0].priority);
        entry.slot = sampler->entries[0].slot;
        sampler->entries[0] = entry;
        sift_down(sampler, 0);
    } else {
        leave_out(sampler, entry.priority);
        return 0;
    }
    memcpy(sampler->values + entry.slot * sampler->dim, values,
           sampler->dim * sizeof(*values));
    return 0;
}

static void show_progress(const struct sampler *sampler)
{
    const struct sample_options *options = sampler->options;
    if (options->progress == NULL) {
        return;
    }
    const struct progress progress = {
        .rows = sampler->n_source,
        .rows_total = source_rows(options->source),
        .bytes = source_bytes_read(options->source),
        .bytes_total = source_bytes(options->source),
    };
    options->progress(options->progress_arg, &progress);
}

/* Widens least and greatest of each column to hold the rows. */
static void note_extremes(struct sampler *sampler, const float *values,
                          size_t n)
{
    size_t dim = sampler->dim;
    float *least = sampler->extremes;
    float *greatest = least + dim;
    if (sampler->n_source == 0 && n > 0) {
        memcpy(least, values, dim * sizeof(*least));
        memcpy(greatest, values, dim * sizeof(*greatest));
    }
    for (size_t i = 0; i < n; i++, values += dim) {
        for (size_t j = 0; j < dim; j++) {
            least[j] = values[j] < least[j] ? values[j] : least[j];
            greatest[j] = values[j] > greatest[j] ? values[j] : greatest[j];
        }
    }
}

static int read_rows(struct sampler *sampler, float *values, double *weights)
{
    const struct sample_options *options = sampler->options;
    size_t max_rows = block_rows(sampler->dim);
    size_t n;
    do {
        int rv =
            source_read(options->source, values, max_rows, &n, sampler->err);
        if (rv == 0 && options->weights != NULL) {
            rv = row_weights_read(options->weights, n, weights, sampler->err);
        }
        if (rv == 0) {
            sampler->n_nonfinite += zero_nonfinite(values, n * sampler->dim);
            note_extremes(sampler, values, n);
        }
        for (size_t i = 0; i < n && rv == 0; i++) {
            rv = offer(sampler, weights[i], values + i * sampler->dim);
        }
        if (rv != 0) {
            return rv;
        }
        show_progress(sampler);
    } while (n == max_rows);
    if (sampler->n_source == 0) {
        return nb_fail(sampler->err, NB_ERR_SOURCE, "%s: no rows",
                       source_path(options->source));
    }
    return options->weights != NULL
               ? row_weights_end(options->weights, sampler->err)
               : 0;
}

static int read_source(struct sampler *sampler)
{
    size_t n = block_rows(sampler->dim);
    float *values = malloc(n * sampler->dim * sizeof(*values));
    double *weights = calloc(n, sizeof(*weights));
    for (size_t i = 0; i < n && weights != NULL; i++) {
        weights[i] = 1; /* unless there is a file */
    }
    sampler->extremes = calloc(sampler->dim, 2 * sizeof(*sampler->extremes));
    int rv = values == NULL || weights == NULL || sampler->extremes == NULL
                 ? nb_fail(sampler->err, NB_ERR_NOMEM,
                           "out of memory for a block of %zu rows", n)
                 : read_rows(sampler, values, weights);
    free(weights);
    free(values);
    return rv;
}

/* ---- the sample ---------------------------------------------------------- */

static int by_row(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    return x->row < y->row ? -1 : 1;
}

/* Moves the values of entry i to slot i, for every i: along the cycles of the
 * permutation, with one row in hand. */
static void order_values(struct sampler *sampler, float *hand)
{
    size_t dim = sampler->dim;
    size_t bytes = dim * sizeof(*hand);
    struct entry *entries = sampler->entries;
    for (size_t first = 0; first < sampler->n; first++) {
        if (entries[first].slot == first) {
            continue;
        }
        memcpy(hand, sampler->values + first * dim, bytes);
        size_t to = first;
        while (entries[to].slot != first) {
            size_t from = entries[to].slot;
            memcpy(sampler->values + to * dim, sampler->values + from * dim,
                   bytes);
            entries[to].slot = to;
            to = from;
        }
        memcpy(sampler->values + to * dim, hand, bytes);
        entries[to].slot = to;
    }
}

/* What a row stands for. One of weight 0 stands for nothing. */
static double stands_for(const struct sampler *sampler, double weight)
{
    return weight > 0 && weight < sampler->left_out ? sampler->left_out
                                                    : weight;
}

static int complete(struct sampler *sampler, struct row_sample *sample)
{
    assert(sampler->n > 0);
    struct row_sample made = {
        .n = sampler->n,
        .dim = sampler->dim,
        .n_source = sampler->n_source,
        .n_nonfinite = sampler->n_nonfinite,
        .rows = calloc(sampler->n, sizeof(*made.rows)),
        .weight = sampler->options->weights != NULL
                      ? calloc(sampler->n, sizeof(*made.weight))
                      : NULL,
    };
    float *hand = malloc(sampler->dim * sizeof(*hand));
    if (made.rows == NULL || hand == NULL ||
        (made.weight == NULL && sampler->options->weights != NULL)) {
        free(hand);
        row_sample_fini(&made);
        return nb_fail(sampler->err, NB_ERR_NOMEM,
                       "out of memory for a sample of %zu rows", sampler->n);
    }
    qsort(sampler->entries, sampler->n, sizeof(*sampler->entries), by_row);
    order_values(sampler, hand);
    free(hand);
    for (size_t i = 0; i < sampler->n; i++) {
        made.rows[i] = sampler->entries[i].row;
        if (made.weight != NULL) {
            made.weight[i] = stands_for(sampler, sampler->entries[i].weight);
        }
    }
    made.values = sampler->values;
    made.extremes = sampler->extremes;
    sampler->values = NULL;
    sampler->extremes = NULL;
    *sample = made;
    return 0;
}

int row_sample_take(const struct sample_options *options,
                    struct row_sample *sample, struct nb_errctx *err)
{
    struct sampler sampler = {
        .options = options,
        .err = err,
        .dim = source_dim(options->source),
        .max_rows = options->max_rows != 0
                        ? options->max_rows
                        : row_sample_rows(source_dim(options->source)),
    };
    int rv = read_source(&sampler);
    if (rv == 0) {
        rv = complete(&sampler, sample);
    }
    free(sampler.extremes);
    free(sampler.entries);
    free(sampler.values);
    return rv;
}

/* ---- parting ------------------------------------------------------------- */

/* Every other row, from row `first` on. */
static int copy_half(const struct row_sample *sample, size_t first,
                     struct row_sample *half)
{
    size_t dim = sample->dim;
    *half = *sample;
    half->n = (sample->n + 1 - first) / 2;
    assert(half->n > 0);
    half->values = malloc(half->n * dim * sizeof(*half->values));
    half->rows = calloc(half->n, sizeof(*half->rows));
    half->extremes = malloc(2 * dim * sizeof(*half->extremes));
    half->weight =
        sample->weight != NULL ? calloc(half->n, sizeof(*half->weight)) : NULL;
    if (half->values == NULL || half->rows == NULL || half->extremes == NULL ||
        (half->weight == NULL && sample->weight != NULL)) {
        row_sample_fini(half);
        return NB_ERR_NOMEM;
    }
    memcpy(half->extremes, sample->extremes, 2 * dim * sizeof(*half->extremes));
    for (size_t i = 0; i < half->n; i++) {
        size_t from = 2 * i + first;
        memcpy(half->values + i * dim, sample->values + from * dim,
               dim * sizeof(*half->values));
        half->rows[i] = sample->rows[from];
        if (half->weight != NULL) {
            half->weight[i] = sample->weight[from];
        }
    }
    return 0;
}

int row_sample_split(const struct row_sample *sample, struct row_sample *first,
                     struct row_sample *second, struct nb_errctx *err)
{
    int rv = copy_half(sample, 0, first);
    if (rv == 0) {
        rv = copy_half(sample, 1, second);
        if (rv != 0) {
            row_sample_fini(first);
        }
    }
    return rv == 0 ? 0
                   : nb_fail(err, rv, "out of memory for a sample of %zu rows",
                             sample->n);
}

void row_sample_fini(struct row_sample *sample)
{
    free(sample->extremes);
    free(sample->values);
    free(sample->rows);
    free(sample->weight);
    *sample = (struct row_sample){0};
}
