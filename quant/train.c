/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Training of codebooks: the levels of the sample's own values to begin with,
 * then in turns the rows are encoded and each level moves to where the values
 * that took it lose least, sum s (x - b) / sum s^2.
 */

#include <math.h>
#include <string.h>

#include "quant/codec/codec.h"
#include "quant/codec/kmeans.h"
#include "quant/search/minmax.h"

#define MAX_ROUNDS 60
#define LEAST_GAIN 1e-4 /* of the loss, in a round that counts */
#define MAX_IDLE   2    /* rounds in a row that do not */

/* Values that the first levels of a codebook are made of. */
#define SEED_VALUES ((size_t)16384)

/* A row's place among the sample's. */
struct place {
    uint32_t row;
    float key;
};

struct trainer {
    const struct nb_training *training;
    const struct codec_trained *codec;
    struct nb_params params; /* of the round */
    size_t row_bytes;
    size_t n_levels; /* in all */
    /* In the caller's memory. */
    double *sums;    /* of s (x - b), for each level */
    double *weights; /* of s^2 */
    float *levels;
    uint32_t *trace; /* of a row */
    struct place
        *places; /* rows, those of a codebook's first levels together */
    uint8_t *rows;
};

static uint32_t codebooks_of(const struct nb_training *training,
                             const struct codec_trained *codec)
{
    return training->n_codebooks != 0 ? training->n_codebooks
                                      : codec->usual_codebooks;
}

int nb_train_sizes(const struct nb_training *training, struct nb_params *shape,
                   size_t *work_bytes)
{
    size_t row_bytes;
    int rv = nb_row_bytes(&training->format, &row_bytes);
    if (rv != 0) {
        return rv;
    }
    const struct codec_trained *codec =
        codec_by_id(training->format.codec)->trained;
    if (codec == NULL || training->n_rows == 0 ||
        training->n_rows > UINT32_MAX ||
        !codec->can_have(codebooks_of(training, codec))) {
        return NB_ERR_INVALID;
    }
    *shape = (struct nb_params){.n_codebooks = codebooks_of(training, codec),
                                .n_levels = codec->n_levels};
    size_t n_levels = (size_t)shape->n_codebooks * shape->n_levels;
    *work_bytes = n_levels * (2 * sizeof(double) + sizeof(float)) +
                  training->format.dim * sizeof(uint32_t) +
                  training->n_rows * (row_bytes + sizeof(struct place));
    return 0;
}

static void init(struct trainer *trainer, void *work)
{
    const struct nb_training *training = trainer->training;
    size_t n = trainer->n_levels;

    trainer->sums = work;
    trainer->weights = trainer->sums + n;
    trainer->levels = (float *)(trainer->weights + n);
    trainer->trace = (uint32_t *)(trainer->levels + n);
    trainer->places =
        (struct place *)(void *)(trainer->trace + training->format.dim);
    trainer->rows = (uint8_t *)(trainer->places + training->n_rows);
    trainer->params.codebooks = trainer->levels;
}

static const float *row_at(const struct trainer *trainer, size_t row)
{
    return trainer->training->z + row * trainer->training->format.dim;
}

/* ---- first levels ---------------------------------------------------- */

/* Mean and deviation of a row; a constant row deviates by 1. */
static struct affine moments_of(const float *x, size_t dim)
{
    double sum = 0;
    double square = 0;

    for (size_t i = 0; i < dim; i++) {
        sum += (double)x[i];
    }
    double mean = sum / (double)dim;
    for (size_t i = 0; i < dim; i++) {
        square += ((double)x[i] - mean) * ((double)x[i] - mean);
    }
    double deviation = sqrt(square / (double)dim);
    return (struct affine){deviation > 0 ? (float)deviation : 1, (float)mean};
}

/* What rows are told apart by, in turns: of standard ones where the middle of
 * the range lies, and how wide it is; of others deviation and mean. */
static float key_of(const struct trainer *trainer, uint32_t row, unsigned depth)
{
    size_t dim = trainer->training->format.dim;
    const float *x = row_at(trainer, row);
    struct affine moments = moments_of(x, dim);

    if (!trainer->codec->standard) {
        return depth % 2 == 0 ? moments.scale : moments.bias;
    }
    struct minmax range = row_minmax(x, dim);
    float above = (range.max - moments.bias) / moments.scale;
    float below = (moments.bias - range.min) / moments.scale;
    return depth % 2 == 0 ? above - below : above + below;
}

static bool place_above(const struct place *a, const struct place *b)
{
    return a->key > b->key || (a->key == b->key && a->row > b->row);
}

/* Heapsort: in place, unlike qsort(), which allocates. */
static void sift_down(struct place *places, size_t at, size_t n)
{
    struct place place = places[at];
    for (size_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && place_above(&places[child + 1], &places[child])) {
            child++;
        }
        if (!place_above(&places[child], &place)) {
            break;
        }
        places[at] = places[child];
        at = child;
    }
    places[at] = place;
}

static void sort_places(struct place *places, size_t n)
{
    for (size_t at = n / 2; at-- > 0;) {
        sift_down(places, at, n);
    }
    for (size_t end = n; end-- > 1;) {
        struct place greatest = places[0];
        places[0] = places[end];
        places[end] = greatest;
        sift_down(places, 0, end);
    }
}

/* Some of the values of n rows, as the codebook sees them. */
static size_t collect(const struct trainer *trainer, const struct place *places,
                      size_t n, float *values)
{
    size_t dim = trainer->training->format.dim;
    size_t all = n * dim;
    size_t count = all < SEED_VALUES ? all : SEED_VALUES;
    struct affine moments = {1, 0};
    size_t of = SIZE_MAX;

    for (size_t i = 0; i < count; i++) {
        size_t at = (size_t)((double)i * (double)all / (double)count);
        const float *x = row_at(trainer, places[at / dim].row);
        if (trainer->codec->standard && of != at / dim) {
            of = at / dim;
            moments = moments_of(x, dim);
        }
        values[i] = (x[at % dim] - moments.bias) / moments.scale;
    }
    return count;
}

/* Levels that a path of subsets chooses among lie closer in the end than those
 * of which the nearest is taken; begun there, training ends 2 to 6 % better. */
static float narrowed(float level)
{
    return level * (0.9f - 0.03f * fminf(fabsf(level), 4));
}

/* Makes the first levels of a codebook from n rows; of none, from all. */
static void seed(struct trainer *trainer, uint32_t codebook,
                 const struct place *places, size_t n)
{
    float values[SEED_VALUES];
    size_t n_levels = trainer->params.n_levels;

    if (n == 0) {
        places = trainer->places;
        n = trainer->training->n_rows;
    }
    size_t count = collect(trainer, places, n, values);
    float *levels = trainer->levels + codebook * n_levels;
    kmeans_levels(values, count, levels, n_levels);
    for (size_t i = 0; i < n_levels && trainer->codec->n_subsets > 1; i++) {
        levels[i] = narrowed(levels[i]);
    }
}

/* Rows and codebooks to be parted in halves. */
struct part {
    size_t begin;
    size_t n;
    uint32_t codebook;
    uint32_t n_codebooks;
    unsigned depth;
};

static void sort_part(struct trainer *trainer, const struct part *part)
{
    struct place *places = trainer->places + part->begin;
    for (size_t i = 0; i < part->n; i++) {
        places[i].key = key_of(trainer, places[i].row, part->depth);
    }
    sort_places(places, part->n);
}

/* Rows much alike make a codebook's first levels. The stack is as deep as
 * n_codebooks has bits. */
static void begin_levels(struct trainer *trainer)
{
    struct part stack[40];
    size_t top = 0;

    for (uint32_t i = 0; i < trainer->training->n_rows; i++) {
        trainer->places[i] = (struct place){i, 0};
    }
    stack[top++] = (struct part){0, trainer->training->n_rows, 0,
                                 trainer->params.n_codebooks, 0};
    while (top > 0) {
        struct part part = stack[--top];
        if (part.n_codebooks == 1) {
            seed(trainer, part.codebook, trainer->places + part.begin, part.n);
            continue;
        }
        sort_part(trainer, &part);
        uint32_t half = part.n_codebooks / 2;
        size_t rows = (size_t)((double)part.n * half / part.n_codebooks);
        stack[top++] = (struct part){part.begin, rows, part.codebook, half,
                                     part.depth + 1};
        stack[top++] = (struct part){part.begin + rows, part.n - rows,
                                     part.codebook + half,
                                     part.n_codebooks - half, part.depth + 1};
    }
}

/* ---- rounds ---------------------------------------------------------- */

/* Adds up what the rows as encoded say of the levels; returns the loss. */
static double gather(struct trainer *trainer)
{
    const struct nb_format *format = &trainer->training->format;
    double loss = 0;

    memset(trainer->sums, 0, trainer->n_levels * sizeof(*trainer->sums));
    memset(trainer->weights, 0, trainer->n_levels * sizeof(*trainer->weights));
    for (size_t i = 0; i < trainer->training->n_rows; i++) {
        const float *x = row_at(trainer, i);
        struct affine affine;
        trainer->codec->trace(format, &trainer->params,
                              trainer->rows + i * trainer->row_bytes,
                              trainer->trace, &affine);
        double scale = (double)affine.scale;
        for (uint32_t j = 0; j < format->dim; j++) {
            uint32_t at = trainer->trace[j];
            double rest = (double)x[j] - (double)affine.bias;
            double error = rest - scale * (double)trainer->levels[at];
            trainer->sums[at] += scale * rest;
            trainer->weights[at] += scale * scale;
            loss += error * error;
        }
    }
    return loss;
}

/* Sorts each subset of a codebook; they are almost in order. */
static void arrange(const struct trainer *trainer, float *codebook)
{
    size_t step = trainer->codec->n_subsets;
    for (size_t i = step; i < trainer->params.n_levels; i++) {
        float level = codebook[i];
        size_t at = i;
        for (; at >= step && codebook[at - step] > level; at -= step) {
            codebook[at] = codebook[at - step];
        }
        codebook[at] = level;
    }
}

static void move_levels(struct trainer *trainer)
{
    for (size_t i = 0; i < trainer->n_levels; i++) {
        if (trainer->weights[i] > 0) {
            trainer->levels[i] =
                (float)(trainer->sums[i] / trainer->weights[i]);
        }
    }
    for (size_t i = 0; i < trainer->n_levels; i += trainer->params.n_levels) {
        arrange(trainer, trainer->levels + i);
    }
}

int nb_train(const struct nb_training *training, void *work, float *levels)
{
    struct trainer trainer = {.training = training};
    size_t work_bytes;
    double least = INFINITY;
    unsigned idle = 0;

    int rv = nb_train_sizes(training, &trainer.params, &work_bytes);
    if (rv == 0) {
        rv = nb_row_bytes(&training->format, &trainer.row_bytes);
    }
    if (rv != 0) {
        return rv;
    }
    trainer.codec = codec_by_id(training->format.codec)->trained;
    trainer.n_levels =
        (size_t)trainer.params.n_codebooks * trainer.params.n_levels;
    init(&trainer, work);
    begin_levels(&trainer);
    for (unsigned round = 0; round < MAX_ROUNDS && idle < MAX_IDLE; round++) {
        trainer.codec->encode(&training->format, &trainer.params, training->z,
                              training->n_rows, trainer.rows,
                              trainer.row_bytes);
        double loss = gather(&trainer);
        idle = loss < least * (1 - LEAST_GAIN) ? 0 : idle + 1;
        if (round == 0 || loss < least) {
            memcpy(levels, trainer.levels, trainer.n_levels * sizeof(*levels));
            least = loss;
        }
        move_levels(&trainer);
    }
    return 0;
}
