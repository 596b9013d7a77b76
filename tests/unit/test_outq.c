/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/outq.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"

static struct buf_budget budget;
static struct buf_pool pool;
static struct outq queue;

static void setup(void)
{
    budget = (struct buf_budget){.max = 64u << 20};
    buf_pool_init(&pool, &budget, 1u << 20);
    outq_init(&queue, &pool);
}

static void teardown(void)
{
    outq_fini(&queue);
    ck_assert_uint_le(pool.kept_bytes, pool.keep_bytes);
    buf_pool_fini(&pool);
    ck_assert_uint_eq(budget.used, 0);
}

static void put(const void *bytes, size_t n)
{
    void *room = outq_reserve(&queue, n);
    ck_assert_ptr_nonnull(room);
    memcpy(room, bytes, n);
    outq_commit(&queue, n);
}

/* Sends the first n bytes, gathered `max` vectors at a time, to `to`. */
static void take(uint8_t *to, size_t n, unsigned max)
{
    while (n > 0) {
        struct iovec vectors[8];
        unsigned got = outq_gather(&queue, vectors, max);
        ck_assert_uint_gt(got, 0);
        size_t sent = 0;
        for (unsigned i = 0; i < got && sent < n; i++) {
            size_t part =
                vectors[i].iov_len < n - sent ? vectors[i].iov_len : n - sent;
            ck_assert_uint_gt(part, 0);
            memcpy(to + sent, vectors[i].iov_base, part);
            sent += part;
        }
        outq_consume(&queue, sent);
        to += sent;
        n -= sent;
    }
}

START_TEST(bytes_come_out_as_they_went_in)
{
    enum {
        TOTAL = 4 << 20
    };
    uint8_t *in = malloc(TOTAL);
    uint8_t *out = malloc(TOTAL);
    ck_assert(in != NULL && out != NULL);
    struct rng rng = {1};
    for (size_t i = 0; i < TOTAL; i++) {
        in[i] = (uint8_t)rng_next(&rng);
    }
    size_t put_bytes = 0;
    size_t taken = 0;
    while (taken < TOTAL) {
        size_t n = rng_below(&rng, 3) == 0 ? rng_below(&rng, 200000)
                                           : rng_below(&rng, 3000);
        if (n > TOTAL - put_bytes) {
            n = TOTAL - put_bytes;
        }
        if (rng_below(&rng, 4) == 0) {
            ck_assert_ptr_nonnull(outq_reserve(&queue, 2 * n)); /* and not */
        }
        put(in + put_bytes, n);
        put_bytes += n;
        ck_assert_uint_eq(queue.bytes, put_bytes - taken);
        n = rng_below(&rng, queue.bytes + 1);
        take(out + taken, n, 1 + (unsigned)rng_below(&rng, 8));
        taken += n;
    }
    ck_assert_mem_eq(in, out, TOTAL);
    ck_assert_uint_eq(queue.n_replies, 0);
    free(in);
    free(out);
}
END_TEST

START_TEST(small_replies_share_a_vector)
{
    uint8_t reply[1000] = {0};
    struct iovec vectors[8];
    for (int i = 0; i < 50; i++) {
        put(reply, sizeof(reply));
    }
    ck_assert_uint_eq(queue.n_replies, 50);
    ck_assert_uint_eq(outq_gather(&queue, vectors, 8), 1);
    ck_assert_uint_eq(vectors[0].iov_len, 50000);
}
END_TEST

START_TEST(buffers_are_used_again)
{
    uint8_t reply[100000] = {0};
    put(reply, sizeof(reply));
    const struct buf *first = queue.head;
    outq_consume(&queue, sizeof(reply));
    ck_assert_uint_gt(pool.kept_bytes, sizeof(reply));
    put(reply, sizeof(reply));
    ck_assert_ptr_eq(queue.head, first);
    ck_assert_uint_eq(pool.kept_bytes, 0);
}
END_TEST

START_TEST(the_pool_keeps_no_more_than_told)
{
    struct buf *bufs[40];
    for (size_t i = 0; i < 40; i++) {
        bufs[i] = buf_take(&pool, 60000);
        ck_assert_ptr_nonnull(bufs[i]);
        ck_assert_uint_ge(bufs[i]->capacity, 60000);
        memset(bufs[i]->data, 1, bufs[i]->capacity);
    }
    for (size_t i = 0; i < 40; i++) {
        buf_give(&pool, bufs[i]);
    }
    ck_assert_uint_eq(pool.kept_bytes, 1u << 20);
    ck_assert_ptr_null(buf_take(&pool, SIZE_MAX / 2));
    buf_give(&pool, NULL);
}
END_TEST

START_TEST(a_buffer_is_at_most_half_of_what_is_left)
{
    struct buf_pool other;
    buf_pool_init(&other, &budget, 0);
    struct buf *half = buf_take(&pool, 20u << 20); /* 32 MiB, of 64 */
    struct buf *quarter = buf_take(&other, 10u << 20);
    ck_assert(half != NULL && quarter != NULL);
    ck_assert_ptr_null(buf_take(&other, 10u << 20));
    struct buf *less = buf_take(&other, 5u << 20);
    ck_assert_ptr_nonnull(less);
    buf_give(&pool, half);
    half = buf_take(&other, 12u << 20);
    ck_assert_ptr_nonnull(half);
    buf_give(&other, half);
    buf_give(&other, quarter);
    buf_give(&other, less);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(what_is_kept_gives_way)
{
    budget.max = 2u << 20;
    struct buf *buf = buf_take(&pool, 1000000);
    ck_assert_ptr_nonnull(buf);
    buf_give(&pool, buf);
    ck_assert_uint_eq(pool.kept_bytes, 1u << 20);
    buf = buf_take(&pool, 500000); /* which is kept in no such size */
    ck_assert_ptr_nonnull(buf);
    buf_give(&pool, buf);
    buf = buf_take(&pool, 1000000);
    ck_assert_ptr_nonnull(buf);
    buf_give(&pool, buf);
    ck_assert_uint_eq(pool.kept_bytes, budget.used);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("outq");
    TCase *tcase = tcase_create("outq");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, bytes_come_out_as_they_went_in);
    tcase_add_test(tcase, small_replies_share_a_vector);
    tcase_add_test(tcase, buffers_are_used_again);
    tcase_add_test(tcase, the_pool_keeps_no_more_than_told);
    tcase_add_test(tcase, a_buffer_is_at_most_half_of_what_is_left);
    tcase_add_test(tcase, what_is_kept_gives_way);
    suite_add_tcase(suite, tcase);
    return suite;
}
