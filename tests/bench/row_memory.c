/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/bench/row_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE     ((size_t)2 << 20)
#define ENCODED_ROWS  512
#define LINE          64
#define PREFETCH_ROWS 24

static void fill_values(float *x, size_t n)
{
    uint64_t state = 20240607;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)((double)(state >> 40) * 0x1p-23 - 1);
    }
}

/* Codebooks of a codec that has some. */
static int train(struct row_memory *memory, const float *x, size_t n)
{
    struct nb_training training = {
        .format = memory->rows.format, .z = x, .n_rows = n};
    struct nb_codec_traits traits;
    size_t work_bytes;

    if (nb_codec_traits(training.format.codec, &traits) != 0) {
        return -1;
    }
    if (!traits.trained) {
        return 0;
    }
    struct nb_params *params = &memory->params;
    if (nb_train_sizes(&training, params, &work_bytes) != 0) {
        return -1;
    }
    size_t bytes =
        (size_t)params->n_codebooks * params->n_levels * sizeof(float);
    float *codebooks = malloc(bytes);
    void *work = malloc(work_bytes);
    int rv = codebooks != NULL && work != NULL
                 ? nb_train(&training, work, codebooks)
                 : -1;
    params->codebooks = codebooks; /* row_memory_fini() frees it */
    free(work);
    return rv;
}

static int encode_some(struct row_memory *memory, size_t n)
{
    const struct nb_format *format = &memory->rows.format;
    float *x = malloc(n * format->dim * sizeof(float));
    uint32_t asym;
    if (x == NULL || nb_search_by_name("asym", &asym) != 0) {
        free(x);
        return -1;
    }
    fill_values(x, n * format->dim);
    int rv = train(memory, x, n);
    if (rv == 0) {
        rv = nb_encode(format, &memory->params, asym, x, n, memory->map,
                       memory->rows.stride);
    }
    free(x);
    return rv;
}

int row_memory_init(struct row_memory *memory, const struct nb_format *format,
                    uint64_t n_rows, bool huge)
{
    size_t row_bytes;
    if (nb_row_bytes(format, &row_bytes) != 0) {
        return -1;
    }
    size_t table_bytes = row_bytes * n_rows;
    memory->map_bytes = (table_bytes + 2 * HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    memory->map = mmap(NULL, memory->map_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory->map == MAP_FAILED) {
        return -1;
    }
    madvise(memory->map, memory->map_bytes,
            huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    memory->rows = (struct nb_rows){.format = *format,
                                    .base = memory->map,
                                    .n_rows = n_rows,
                                    .stride = row_bytes,
                                    .params = &memory->params};
    memory->params = (struct nb_params){0};
    size_t done = n_rows < ENCODED_ROWS ? n_rows : ENCODED_ROWS;
    if (encode_some(memory, done) != 0) {
        row_memory_fini(memory);
        return -1;
    }
    for (done *= row_bytes; done < table_bytes;) {
        size_t n = table_bytes - done < done ? table_bytes - done : done;
        memcpy((char *)memory->map + done, memory->map, n);
        done += n;
    }
    return 0;
}

void row_memory_fini(struct row_memory *memory)
{
    free((void *)memory->params.codebooks);
    munmap(memory->map, memory->map_bytes);
}

static void prefetch_row(const uint8_t *row, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += LINE) {
        __builtin_prefetch(row + i);
    }
    __builtin_prefetch(row + bytes - 1);
}

static inline uint64_t touch(const struct nb_rows *rows, const uint64_t *ids,
                             size_t i, size_t n)
{
    const uint8_t *base = rows->base;
    size_t bytes = rows->stride;
    size_t ahead = i + PREFETCH_ROWS < n ? i + PREFETCH_ROWS : n - 1;
    const uint8_t *row = base + ids[i] * bytes;
    uint64_t sum = 0;

    prefetch_row(base + ids[ahead] * bytes, bytes);
    for (size_t at = 0; at < bytes; at += LINE) {
        sum += row[at];
    }
    return sum + row[bytes - 1];
}

uint64_t row_memory_touch(const struct nb_rows *rows, const uint64_t *ids,
                          size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += touch(rows, ids, i, n);
    }
    return sum;
}

uint64_t row_memory_touch_write(const struct nb_rows *rows, const uint64_t *ids,
                                size_t n, void *out, size_t out_bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += touch(rows, ids, i, n);
        memset((char *)out + i * out_bytes, (int)(sum & 0xff), out_bytes);
    }
    return sum;
}
