/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Channels with a thread of their own: many threads ask, wait and cancel at
 * once. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/lib/channel_fixture.h"
#include "tests/lib/run_suite.h"

#define THREADS 4
#define ROUNDS  UINT64_C(200)

static struct fake_server servers[2];
static struct nb_channel *channel;
static struct nb_errctx err;

static void open_channel(const struct nb_channel_options *options, size_t n)
{
    const char *addresses[] = {servers[0].address, servers[1].address};
    ck_assert_int_eq(nb_channel_open(addresses, n, options, &channel, &err), 0);
}

static void *ask_and_wait(void *failures)
{
    float values[PEER_ROWS * PEER_DIM];
    struct nb_block block;
    const struct nb_target target = {values, sizeof(values)};
    const struct nb_call_options options = {.targets = &target,
                                            .blocks = &block};
    for (uint64_t i = 0; i < ROUNDS; i++) {
        struct nb_outcome outcome;
        int rv = nb_channel_lookup_wait(channel, &fixture_request, &options,
                                        &outcome, NULL);
        if (rv != 0 || outcome.version != 1 || outcome.n_blocks != 1 ||
            block.rows != PEER_ROWS || block.values != values ||
            values[0] != values[5] || values[0] < 1 || values[0] > 2) {
            ++*(atomic_uint *)failures;
        }
    }
    return NULL;
}

START_TEST(threads_ask_and_wait)
{
    const struct nb_channel_options options = {.connections = 2, .hedge_ms = 1};
    pthread_t threads[THREADS];
    atomic_uint failures = 0;
    servers[0].value = 1;
    servers[1].value = 2;
    fake_server_start(&servers[0], fake_serve);
    fake_server_start(&servers[1], fake_serve);
    open_channel(&options, 2);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, ask_and_wait, &failures);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    struct nb_channel_counts counts;
    nb_channel_count(channel, &counts);
    ck_assert_uint_eq(failures, 0);
    ck_assert_uint_eq(counts.calls, THREADS * ROUNDS);
    ck_assert_uint_eq(counts.unanswered, 0);
    ck_assert_uint_gt(servers[0].n_requests, 0);
    ck_assert_uint_gt(servers[1].n_requests, 0);
    nb_channel_close(channel, NULL, NULL);
    fake_server_stop(&servers[0]);
    fake_server_stop(&servers[1]);
}
END_TEST

static atomic_uint n_done;
static atomic_uint n_odd; /* ended in a way they should not */

static void on_cancelled(void *arg, const struct nb_outcome *outcome)
{
    (void)arg;
    n_odd += outcome->code != 0 && outcome->code != NB_ERR_CANCELLED;
    n_done++;
}

static void *ask_and_cancel(void *n_taken)
{
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t ticket = 0;
        int rv = nb_channel_lookup(channel, &fixture_request, NULL,
                                   on_cancelled, NULL, &ticket, NULL);
        if (rv == 0) {
            ++*(atomic_uint *)n_taken;
            nb_channel_cancel(channel, ticket);
        } else {
            n_odd += rv != NB_ERR_EXHAUSTED;
        }
    }
    return NULL;
}

/* Every call that was taken ends once, whichever way. */
START_TEST(threads_cancel)
{
    const struct nb_channel_options options = {.max_calls = 8};
    pthread_t threads[THREADS];
    atomic_uint n_taken = 0;
    n_done = n_odd = 0;
    fake_server_start(&servers[0], fake_serve);
    open_channel(&options, 1);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, ask_and_cancel, &n_taken);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    nb_channel_close(channel, NULL, NULL); /* ends what is left */
    ck_assert_uint_gt(n_taken, 0);
    ck_assert_uint_eq(n_done, n_taken);
    ck_assert_uint_eq(n_odd, 0);
    fake_server_stop(&servers[0]);
}
END_TEST

/* Without a target nothing is left of the values. */
START_TEST(values_that_have_no_place)
{
    struct nb_block block = {.values = "something"};
    const struct nb_call_options options = {.blocks = &block};
    struct nb_outcome outcome;
    fake_server_start(&servers[0], fake_serve);
    open_channel(NULL, 1);
    ck_assert_int_eq(nb_channel_lookup_wait(channel, &fixture_request, &options,
                                            &outcome, &err),
                     0);
    ck_assert_uint_eq(outcome.n_blocks, 1);
    ck_assert_uint_eq(block.rows, PEER_ROWS);
    ck_assert_ptr_null(block.values);
    nb_channel_close(channel, NULL, NULL);
    fake_server_stop(&servers[0]);
}
END_TEST

static void *wait_for_nobody(void *code)
{
    *(int *)code =
        nb_channel_lookup_wait(channel, &fixture_request, NULL, NULL, NULL);
    return NULL;
}

START_TEST(closing_ends_those_who_wait)
{
    pthread_t thread;
    int code = 0;
    fake_server_start(&servers[0], fake_ignore);
    open_channel(NULL, 1);
    pthread_create(&thread, NULL, wait_for_nobody, &code);
    while (servers[0].n_requests == 0) {
        sched_yield();
    }
    /* The one who waits has nothing more to do with the channel. */
    nb_channel_close(channel, NULL, NULL);
    pthread_join(thread, NULL);
    ck_assert_int_eq(code, NB_ERR_CANCELLED);
    fake_server_stop(&servers[0]);
}
END_TEST

static atomic_int code_within;

static void wait_within(void *arg, const struct nb_outcome *outcome)
{
    (void)arg;
    (void)outcome;
    code_within =
        nb_channel_lookup_wait(channel, &fixture_request, NULL, NULL, NULL);
}

START_TEST(nobody_waits_for_himself)
{
    struct channel_fixture fixture;
    fake_server_start(&servers[0], fake_serve);
    fixture_channel_open(&fixture, NULL, servers[0].address, NULL);
    ck_assert_int_eq(nb_channel_pool_wait(fixture.channel, &fixture_request,
                                          NULL, NULL, &err),
                     NB_ERR_INVALID);
    fixture_channel_close(&fixture);
    open_channel(NULL, 1);
    code_within = 0;
    ck_assert_int_eq(nb_channel_lookup(channel, &fixture_request, NULL,
                                       wait_within, NULL, NULL, &err),
                     0);
    while (code_within == 0) {
        sched_yield();
    }
    ck_assert_int_eq(code_within, NB_ERR_INVALID);
    nb_channel_close(channel, NULL, NULL);
    nb_channel_close(NULL, NULL, NULL);
    fake_server_stop(&servers[0]);
}
END_TEST

/* ---- what is refused -------------------------------------------------- */

static const struct {
    const char *addresses[2];
    size_t n;
    struct nb_channel_options options;
    const char *words;
} refused[] = {
    {{"localhost:1"}, 0, {0}, "0 addresses"},
    {{"localhost:1", NULL}, 2, {0}, "address 1 is NULL"},
    {{"localhost:1", "nowhere"}, 2, {0}, "nowhere"},
    {{"unix:"}, 1, {0}, "path"},
    {{"localhost:1"}, 1, {.connections = 257}, "257 connections"},
    {{"localhost:1"}, 1, {.max_calls = 65537}, "65537 calls"},
    {{"localhost:1"}, 1, {.hedge_percent = 101}, "101 %"},
};

START_TEST(channels_that_are_refused)
{
    ck_assert_int_eq(nb_channel_open(refused[_i].addresses, refused[_i].n,
                                     &refused[_i].options, &channel, &err),
                     NB_ERR_INVALID);
    ck_assert_msg(strstr(err.text, refused[_i].words) != NULL, "%s", err.text);
}
END_TEST

static void setup(void)
{
    memset(servers, 0, sizeof(servers));
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("channel_thread");
    TCase *tcase = tcase_create("thread");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, threads_ask_and_wait);
    tcase_add_test(tcase, threads_cancel);
    tcase_add_test(tcase, values_that_have_no_place);
    tcase_add_test(tcase, closing_ends_those_who_wait);
    tcase_add_test(tcase, nobody_waits_for_himself);
    tcase_add_loop_test(tcase, channels_that_are_refused, 0,
                        (int)(sizeof(refused) / sizeof(refused[0])));
    suite_add_tcase(suite, tcase);
    return suite;
}
