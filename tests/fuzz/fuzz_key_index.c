/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A key index section: those that are taken lead no key out of the rows. The
 * first byte tells how many rows there are. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "quant/nibble.h"
#include "storage/table/key_index.h"

#define DIM    2
#define STRIDE (DIM * 4 + NB_KEY_BYTES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct key_index *index, uint64_t n_rows)
{
    uint64_t keys[64];
    float out[64 * DIM];
    uint64_t unseen;
    uint8_t *rows = calloc(n_rows, STRIDE);
    const struct nb_rows table = {
        .format = {.codec = 4, .dim = DIM, .scales = NB_SCALES_FP32},
        .base = rows,
        .n_rows = n_rows,
        .stride = STRIDE,
        .keys = &index->view};
    for (size_t i = 0; i < 64; i++) {
        keys[i] = i * UINT64_C(0x9e3779b97f4a7c15);
        uint64_t row = key_index_row(index, keys[i]);
        if (row >= n_rows && row != UINT64_MAX) {
            abort();
        }
    }
    const struct nb_lookup lookup = {.ids = {.u64 = keys, .n = 64}};
    if (rows != NULL && nb_lookup(&table, &lookup, out, &unseen) != 0) {
        abort();
    }
    free(rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct key_index index;
    struct nb_errctx err = {""};
    if (size == 0) {
        return 0;
    }
    uint64_t n_rows = data[0] + 1u;
    size_t n = size - 1;
    uint8_t *section = malloc(n + 1); /* of its own, to find overreads */
    if (section == NULL) {
        return 0;
    }
    memcpy(section, data + 1, n);
    if (key_index_decode(section, n, 4096, n_rows, "t.nbt", &index, &err) !=
        0) {
        if (err.text[0] == '\0') {
            abort();
        }
        free(section);
        return 0;
    }
    ask(&index, n_rows);
    key_index_fini(&index);
    return 0;
}
