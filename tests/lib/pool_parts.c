/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/pool_parts.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "quant/pooling.h"

/* Few and many, and now and then all. */
static size_t random_limit(struct rng *rng)
{
    switch (rng_below(rng, 4)) {
    case 0:
        return 1;
    case 1:
        return 1 + rng_below(rng, 300);
    case 2:
        return 1 + rng_below(rng, 3000);
    default:
        return SIZE_MAX;
    }
}

/* Number of the id at which they begin. */
static size_t place_of(const struct nb_ids *ids, const struct nb_ids *request)
{
    return ids->u64 != NULL ? (size_t)(ids->u64 - request->u64)
                            : (size_t)(ids->u32 - request->u32);
}

/* A part begins where the one before ended, or further back in a long bag. */
static void check_ahead(const struct nb_ids *ahead,
                        const struct nb_ids *request, size_t *end)
{
    size_t at = place_of(ahead, request);
    ck_assert_uint_le(at, *end);
    ck_assert_uint_le(ahead->n, request->n - at);
    *end = at + ahead->n;
}

void pool_parts_check(const struct nb_rows *rows, const struct nb_pool *request,
                      const void *whole, uint64_t unseen, struct rng *rng)
{
    size_t bytes =
        request->n_bags * rows->format.dim * nb_dtype_bytes(request->dtype);
    size_t skip = rng_below(rng, 64);
    uint8_t *memory = malloc(skip + pooling_bytes());
    uint8_t *out = malloc(bytes + 1);
    struct pooling *pooling;
    uint64_t got = UINT64_MAX;
    size_t end = 0;
    int rv;
    ck_assert(memory != NULL && out != NULL);
    memset(memory, 0xa5, skip + pooling_bytes());
    memset(out, 0xa5, bytes + 1);
    ck_assert_int_eq(
        pooling_begin(memory + skip, NULL, rows, request, out, &pooling), 0);
    do {
        size_t max_ids = random_limit(rng);
        size_t max_bags = random_limit(rng);
        struct nb_ids ahead = pooling_ahead(pooling, max_ids, max_bags);
        check_ahead(&ahead, &request->ids, &end);
        ck_assert_uint_eq(got, UINT64_MAX);
        rv = pooling_next(pooling, max_ids, max_bags, &got);
    } while (rv == 1);
    ck_assert_int_eq(rv, 0);
    ck_assert_uint_eq(got, unseen);
    ck_assert_uint_eq(end, request->ids.n);
    ck_assert_mem_eq(out, whole, bytes);
    ck_assert_uint_eq(out[bytes], 0xa5);
    free(out);
    free(memory);
}
