/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/bench/disk_table.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "quant/bytes.h"
#include "storage/table/table_writer.h"
#include "tests/lib/rng.h"

#define ENCODED_ROWS 512u
#define BLOCK_ROWS   65536u
#define THREADS      2u
#define METADATA     "{}"

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1); // NOLINT(concurrency-mt-unsafe): the bench has one thread
}

static struct nb_format q4_format(void)
{
    struct nb_format format = {.dim = DISK_TABLE_DIM};
    if (nb_codec_by_name("q4", &format.codec) != 0) {
        abort();
    }
    return format;
}

size_t disk_table_row_bytes(void)
{
    struct nb_format format = q4_format();
    size_t bytes = 0;
    if (nb_row_bytes(&format, &bytes) != 0) {
        abort();
    }
    return bytes;
}

/* A block of rows, `stride` bytes apart; the caller frees it. */
static uint8_t *make_block(const struct nb_format *format, size_t stride)
{
    static float x[ENCODED_ROWS * DISK_TABLE_DIM];
    struct rng rng = {.state = 20240607};
    uint8_t *block = calloc(BLOCK_ROWS, stride);
    uint32_t asym;
    if (block == NULL || nb_search_by_name("asym", &asym) != 0) {
        give_up("no memory for a block of rows");
    }
    for (size_t i = 0; i < sizeof(x) / sizeof(x[0]); i++) {
        x[i] = (float)(2 * rng_unit(&rng) - 1);
    }
    if (nb_encode(format, NULL, asym, x, ENCODED_ROWS, block, stride) != 0) {
        abort();
    }
    for (size_t i = ENCODED_ROWS; i < BLOCK_ROWS; i += ENCODED_ROWS) {
        memcpy(block + i * stride, block, ENCODED_ROWS * stride);
    }
    return block;
}

static int write_rows(struct table_writer *writer,
                      const struct nb_format *format, uint64_t n_rows,
                      bool keyed, struct nb_errctx *err)
{
    size_t stride = table_writer_stride(writer);
    uint8_t *block = make_block(format, stride);
    int rv = 0;
    for (uint64_t first = 0; first < n_rows && rv == 0; first += BLOCK_ROWS) {
        uint64_t left = n_rows - first;
        size_t n = left < BLOCK_ROWS ? (size_t)left : BLOCK_ROWS;
        for (size_t i = 0; keyed && i < n; i++) {
            put_u64(block + (i + 1) * stride - NB_KEY_BYTES,
                    disk_table_key(first + i));
        }
        rv = table_writer_append(writer, block, n, err);
    }
    free(block);
    return rv;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void disk_table_make(struct disk_table *made, uint64_t n_rows, bool keyed)
{
    char directory[] = "/var/tmp/nibble-bench-XXXXXX";
    char path[sizeof(directory) + 8];
    struct nb_format format = q4_format();
    struct table_writer *writer = NULL;
    struct nb_errctx err = {"no directory in /var/tmp"};
    double start = now_s();
    if (mkdtemp(directory) == NULL) {
        give_up(err.text);
    }
    snprintf(path, sizeof(path), "%s/t.nbt", directory);
    int rv = table_writer_create(path, &format, &writer, &err);
    if (rv == 0 && keyed) {
        rv = table_writer_add_keys(writer, KEY_NUMBERS, THREADS, &err);
    }
    if (rv == 0) {
        rv = write_rows(writer, &format, n_rows, keyed, &err);
    }
    if (rv == 0) {
        rv = table_writer_commit(writer, NULL, METADATA, &err);
    }
    made->seconds = now_s() - start;
    if (rv == 0) {
        made->keys_bytes = table_writer_keys_bytes(writer);
        made->fd = open(path, O_RDONLY | O_CLOEXEC);
        rv = table_open(path, TABLE_VERIFY_HEADER, &made->table, &err);
    }
    table_writer_destroy(writer);
    unlink(path);
    rmdir(directory);
    if (rv != 0 || made->fd < 0) {
        give_up(err.text);
    }
}

struct table *disk_table_again(const struct disk_table *made,
                               enum table_residency residency, double *seconds)
{
    char path[64];
    struct table *table;
    struct nb_errctx err;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", made->fd);
    if (table_open(path, TABLE_VERIFY_HEADER, &table, &err) != 0) {
        give_up(err.text);
    }
    double start = now_s();
    if (table_reside(table, residency, NULL, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        table_close(table);
        return NULL;
    }
    *seconds = now_s() - start;
    return table;
}

void disk_table_fini(struct disk_table *made)
{
    table_close(made->table);
    close(made->fd);
}

bool disk_table_reside(struct disk_table *made, enum table_residency residency)
{
    struct nb_errctx err;
    if (table_reside(made->table, residency, NULL, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    return true;
}
