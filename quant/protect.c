/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/protect.h"

#include <inttypes.h>
#include <string.h>

#include "quant/checked.h"
#include "quant/kernel/store.h"
#include "quant/lookup.h"

#define WORD_BITS 64u
#define N_WORDS   (NB_PROTECTED_ROWS / WORD_BITS)

static uint64_t n_blocks(uint64_t n_rows)
{
    return n_rows / NB_PROTECTED_ROWS + (n_rows % NB_PROTECTED_ROWS > 0);
}

/* ---- which rows ------------------------------------------------------ */

/* Rows of a block that are protected. */
static uint64_t count_block(const struct nb_protected_block *block)
{
    uint64_t n = 0;
    for (size_t w = 0; w < N_WORDS; w++) {
        n += (unsigned)__builtin_popcountll(block->bits[w]);
    }
    return n;
}

/* Whether a bit stands for a row past the last. */
static bool has_stray_bits(const struct nb_protected_block *block,
                           uint64_t rows_left)
{
    for (uint64_t i = rows_left; i < NB_PROTECTED_ROWS; i++) {
        if ((block->bits[i / WORD_BITS] >> (i % WORD_BITS) & 1u) != 0) {
            return true;
        }
    }
    return false;
}

int nb_protected_check(const struct nb_protected *protect, uint64_t n_rows,
                       struct nb_errctx *err)
{
    uint64_t n = 0;
    for (uint64_t b = 0; b < n_blocks(n_rows); b++) {
        const struct nb_protected_block *block = &protect->blocks[b];
        if (block->before != n) {
            return nb_fail(err, NB_ERR_INVALID,
                           "block %" PRIu64
                           " of protected rows says that %" PRIu64
                           " stand before it, but %" PRIu64 " do",
                           b, block->before, n);
        }
        if (has_stray_bits(block, n_rows - b * NB_PROTECTED_ROWS)) {
            return nb_fail(err, NB_ERR_INVALID,
                           "block %" PRIu64 " protects rows past the last", b);
        }
        n += count_block(block);
    }
    return n == protect->n
               ? 0
               : nb_fail(err, NB_ERR_INVALID,
                         "%" PRIu64
                         " rows are protected, and there are %" PRIu64
                         " residual rows",
                         n, protect->n);
}

bool protect_good(const struct nb_rows *rows, size_t row_bytes)
{
    const struct nb_protected *protect = rows->protect;
    uint64_t bytes;
    return protect == NULL ||
           (protect->blocks != NULL && protect->residuals != NULL &&
            protect->stride >= row_bytes && protect->n <= rows->n_rows &&
            checked_mul(protect->n, protect->stride, &bytes) &&
            bytes <= PTRDIFF_MAX);
}

const uint8_t *protect_residual(const struct nb_rows *rows, const uint8_t *at)
{
    const struct nb_protected *protect = rows->protect;
    uint64_t row = (uint64_t)(at - (const uint8_t *)rows->base) / rows->stride;
    const struct nb_protected_block *block =
        &protect->blocks[row / NB_PROTECTED_ROWS];
    unsigned bit = (unsigned)(row % NB_PROTECTED_ROWS);
    uint64_t word = block->bits[bit / WORD_BITS];
    uint64_t mask = UINT64_C(1) << (bit % WORD_BITS);

    if ((word & mask) == 0) {
        return NULL;
    }
    uint64_t k =
        block->before + (unsigned)__builtin_popcountll(word & (mask - 1));
    for (unsigned w = 0; w < bit / WORD_BITS; w++) {
        k += (unsigned)__builtin_popcountll(block->bits[w]);
    }
    return (const uint8_t *)protect->residuals + k * protect->stride;
}

/* ---- the greatest ---------------------------------------------------- */

/* Rows a window at a time, and the greatest values of a bag so far. */
struct greatest {
    struct lookup lookup;
    size_t at; /* next row of the window */
    bool any;
    float rows[NB_DIM_MAX]; /* of the window */
    float values[NB_DIM_MAX];
};

static void take_greater(struct greatest *greatest, const float *row,
                         uint32_t dim)
{
    float *restrict values = greatest->values;
    if (!greatest->any) {
        memcpy(values, row, dim * sizeof(*row));
        greatest->any = true;
        return;
    }
    for (uint32_t j = 0; j < dim; j++) {
        values[j] = row[j] > values[j] ? row[j] : values[j];
    }
}

static int run_bag(struct greatest *greatest, uint32_t dim, uint32_t length)
{
    struct lookup *lookup = &greatest->lookup;
    greatest->any = false;
    for (uint32_t i = 0; i < length; i++) {
        if (!lookup->started || greatest->at == lookup->window->n) {
            int rv = lookup_next(lookup, (uint8_t *)greatest->rows);
            if (rv != 0) {
                return rv;
            }
            greatest->at = 0;
        }
        if (lookup->window->at[greatest->at] != NULL) {
            take_greater(greatest, greatest->rows + greatest->at * dim, dim);
        }
        greatest->at++;
    }
    if (!greatest->any) {
        memset(greatest->values, 0, dim * sizeof(float));
    }
    return 0;
}

int protect_max(const struct nb_rows *rows, const struct nb_pool *request,
                void *out, uint64_t *unseen)
{
    uint32_t dim = rows->format.dim;
    struct greatest greatest;
    struct lookup *lookup = &greatest.lookup;
    size_t most = NB_DIM_MAX / dim;
    uint8_t *to = out;

    int rv = lookup_ids(lookup, NULL, rows, &request->ids, &request->unseen,
                        NB_FP32);
    if (rv != 0) {
        return rv;
    }
    if (lookup->source.window_ids > most) {
        lookup->source.window_ids = most;
    }
    lookup->unseen = 0;
    for (size_t b = 0; b < request->n_bags; b++) {
        rv = run_bag(&greatest, dim, request->lengths[b]);
        if (rv != 0) {
            return rv;
        }
        for (uint32_t j = 0; j < dim; j++) {
            store_value(to, request->dtype, j, greatest.values[j]);
        }
        to += dim * nb_dtype_bytes(request->dtype);
    }
    *unseen = lookup->unseen;
    return 0;
}
