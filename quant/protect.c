/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/protect.h"

#include <inttypes.h>
#include <string.h>

#include "quant/checked.h"
#include "quant/kernel/store.h"

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

/* ---- made of sums ---------------------------------------------------- */

static const uint32_t ones[PROTECT_IDS] = {[0 ... PROTECT_IDS - 1] = 1};

/* Each of n <= PROTECT_IDS ids as a bag of its own. */
static int sum_each(const struct nb_rows *rows, const struct nb_ids *ids,
                    uint32_t dtype, const struct nb_unseen_policy *unseen,
                    void *out, uint64_t *n_unseen)
{
    const struct nb_pool each = {
        .ids = *ids,
        .lengths = ones,
        .n_bags = ids->n,
        .pooling = NB_SUM,
        .dtype = dtype,
        .unseen = *unseen,
    };
    return nb_pool(rows, &each, out, n_unseen);
}

static struct nb_ids part_of(const struct nb_ids *ids, size_t first, size_t n)
{
    return (struct nb_ids){
        .u64 = ids->u64 != NULL ? ids->u64 + first : NULL,
        .u32 = ids->u32 != NULL ? ids->u32 + first : NULL,
        .n = n,
    };
}

int protect_lookup(const struct nb_rows *rows, const struct nb_lookup *request,
                   void *out, uint64_t *unseen)
{
    size_t row_bytes = rows->format.dim * nb_dtype_bytes(request->dtype);
    size_t left = request->ids.n;
    uint64_t total = 0;

    if (request->dtype == NB_PACKED) {
        return NB_ERR_UNSUPPORTED;
    }
    while (left > 0) {
        size_t n = left < PROTECT_IDS ? left : PROTECT_IDS;
        size_t first = request->ids.n - left;
        struct nb_ids ids = part_of(&request->ids, first, n);
        uint64_t part;
        int rv = sum_each(rows, &ids, request->dtype, &request->unseen,
                          (uint8_t *)out + first * row_bytes, &part);
        if (rv != 0) {
            return rv;
        }
        total += part;
        left -= n;
    }
    *unseen = total;
    return 0;
}

int protect_decode(const struct nb_rows *rows, uint64_t first, size_t n_rows,
                   uint32_t dtype, void *out)
{
    size_t row_bytes = rows->format.dim * nb_dtype_bytes(dtype);
    uint64_t numbers[PROTECT_IDS];
    struct nb_rows dense = *rows;
    static const struct nb_unseen_policy policy;

    dense.keys = NULL; /* numbers, even of rows that have keys */

    if (dtype == NB_PACKED) {
        return NB_ERR_UNSUPPORTED;
    }
    for (size_t done = 0; done < n_rows;) {
        size_t n = n_rows - done < PROTECT_IDS ? n_rows - done : PROTECT_IDS;
        uint64_t unseen;
        for (size_t i = 0; i < n; i++) {
            numbers[i] = first + done + i;
        }
        const struct nb_ids ids = {.u64 = numbers, .n = n};
        int rv = sum_each(&dense, &ids, dtype, &policy,
                          (uint8_t *)out + done * row_bytes, &unseen);
        if (rv != 0) {
            return rv;
        }
        done += n;
    }
    return 0;
}

/* The greatest so far, of rows of a bag one after the other. */
struct greatest {
    float values[NB_DIM_MAX];
    float row[NB_DIM_MAX];
    bool any;
};

static void take_greater(struct greatest *greatest, uint32_t dim)
{
    for (uint32_t j = 0; j < dim; j++) {
        if (!greatest->any || greatest->row[j] > greatest->values[j]) {
            greatest->values[j] = greatest->row[j];
        }
    }
    greatest->any = true;
}

static int run_bag(const struct nb_rows *rows, const struct nb_pool *request,
                   size_t first, uint32_t length, struct greatest *greatest,
                   uint64_t *unseen)
{
    greatest->any = false;
    for (uint32_t i = 0; i < length; i++) {
        struct nb_ids id = part_of(&request->ids, first + i, 1);
        uint64_t missing;
        int rv = sum_each(rows, &id, NB_FP32, &request->unseen, greatest->row,
                          &missing);
        if (rv != 0) {
            return rv;
        }
        *unseen += missing;
        if (missing == 0 || request->unseen.action == NB_UNSEEN_DEFAULT) {
            take_greater(greatest, rows->format.dim);
        }
    }
    if (!greatest->any) {
        memset(greatest->values, 0, rows->format.dim * sizeof(float));
    }
    return 0;
}

int protect_max(const struct nb_rows *rows, const struct nb_pool *request,
                void *out, uint64_t *unseen)
{
    uint32_t dim = rows->format.dim;
    struct greatest greatest;
    uint64_t total = 0;
    uint8_t *to = out;
    size_t first = 0;

    for (size_t b = 0; b < request->n_bags; b++) {
        int rv = run_bag(rows, request, first, request->lengths[b], &greatest,
                         &total);
        if (rv != 0) {
            return rv;
        }
        for (uint32_t j = 0; j < dim; j++) {
            store_value(to, request->dtype, j, greatest.values[j]);
        }
        to += dim * nb_dtype_bytes(request->dtype);
        first += request->lengths[b];
    }
    *unseen = total;
    return 0;
}
