/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A channel on the test's loop against servers that behave, and against servers
 * that are killed, silent, slow or out of order. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "client/lib/nibble_client.h"
#include "proto/rpc_code.h"
#include "tests/lib/channel_fixture.h"
#include "tests/lib/run_suite.h"

static struct channel_fixture fixture;
static struct fake_server servers[2];
static struct fixture_call calls[64];

static void setup(void)
{
    memset(servers, 0, sizeof(servers));
    memset(calls, 0, sizeof(calls));
    servers[0].value = 1;
    servers[1].value = 2;
}

/* ---- answers ---------------------------------------------------------- */

START_TEST(calls_are_answered)
{
    const struct nb_channel_options options = {.connections = 2};
    fake_server_start(&servers[0], fake_serve);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    for (unsigned i = 0; i < 64; i++) {
        ck_assert_int_eq(fixture_lookup(&fixture, &calls[i], 0), 0);
    }
    fixture_run(&fixture, calls, 64);
    for (unsigned i = 0; i < 64; i++) {
        ck_assert_int_eq(calls[i].code, 0);
        ck_assert_uint_eq(calls[i].n_done, 1);
        ck_assert_str_eq(calls[i].address, servers[0].address);
        for (int j = 0; j < PEER_ROWS * PEER_DIM; j++) {
            ck_assert_float_eq(calls[i].values[j], 1);
        }
    }
    fixture_run_connected(&fixture, 2);
    struct nb_channel_counts counts = fixture_counts(&fixture);
    ck_assert_uint_eq(counts.calls, 64);
    ck_assert_uint_eq(counts.failed, 0);
    ck_assert_uint_eq(counts.connects, 2);
    ck_assert_uint_eq(counts.losses, 0);
    ck_assert_uint_eq(counts.unanswered, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

/* Three requests, answered last first, each with its id as the value. */
static void answer_backwards(struct fake_server *server, int fd, unsigned nth)
{
    (void)server;
    (void)nth;
    struct frame_header requests[3];
    for (int i = 0; i < 3; i++) {
        peer_read_request(fd, &requests[i]);
    }
    for (int i = 2; i >= 0; i--) {
        peer_write_rows(fd, &requests[i], (float)requests[i].request_id);
    }
    peer_drain(fd);
}

START_TEST(replies_out_of_order)
{
    fake_server_start(&servers[0], answer_backwards);
    fixture_channel_open(&fixture, NULL, servers[0].address, NULL);
    fixture_run_connected(&fixture, 1);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(fixture_lookup(&fixture, &calls[i], 0), 0);
    }
    fixture_run(&fixture, calls, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(calls[i].code, 0);
        ck_assert_float_eq(calls[i].value, (float)(i + 1));
    }
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

START_TEST(refusals_are_of_one_call)
{
    fake_server_start(&servers[0], fake_serve);
    fixture_channel_open(&fixture, NULL, servers[0].address, NULL);
    const struct nb_target small = {calls[0].values, 5};
    const struct nb_call_options options = {.targets = &small};
    struct nb_errctx err = {""};
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &fixture_request,
                                       &options, fixture_done, &calls[0], NULL,
                                       &err),
                     0);
    fixture_run(&fixture, calls, 1);
    ck_assert_int_eq(calls[0].code, NB_ERR_TOO_LARGE);
    const struct nb_feature nameless = {.table = NULL};
    const struct nb_request wrong = {.features = &nameless, .n_features = 1};
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &wrong, NULL,
                                       fixture_done, &calls[1], NULL, &err),
                     NB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "feature 0"));
    fixture_call_once(&fixture, &calls[2], 0, 0);
    ck_assert_uint_eq(calls[1].n_done, 0);
    ck_assert_uint_eq(fixture_counts(&fixture).connects, 1);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

/* ---- connections that end --------------------------------------------- */

static bool was_refused(void *arg)
{
    (void)arg;
    return fixture_counts(&fixture).losses > 1;
}

START_TEST(a_server_that_is_killed_and_restarted)
{
    const struct nb_channel_options options = {.backoff_ms = 1,
                                               .backoff_max_ms = 20};
    fake_server_start(&servers[0], fake_serve);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    fixture_call_once(&fixture, &calls[0], 0, 0);
    fake_server_stop(&servers[0]);
    fixture_run_connected(&fixture, 0);
    /* It waits for the server, whose port answers nobody for now. */
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[1], 0), 0);
    fixture_run_until(&fixture, was_refused, NULL);
    fixture_call_once(&fixture, &calls[2], 30, NB_ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(calls[2].message, "no connection within 30"));
    ck_assert_ptr_nonnull(strstr(calls[2].message, "refused"));
    ck_assert_uint_eq(calls[1].n_done, 0);
    fake_server_start(&servers[0], fake_serve);
    fixture_run(&fixture, &calls[1], 1);
    ck_assert_int_eq(calls[1].code, 0);
    fixture_call_once(&fixture, &calls[3], 0, 0);
    ck_assert_uint_eq(fixture_counts(&fixture).connects, 2);
    ck_assert_uint_ge(fixture_counts(&fixture).losses, 2);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

/* The first connections end with a request unanswered. */
static void close_twice(struct fake_server *server, int fd, unsigned nth)
{
    struct frame_header request;
    if (nth < 2) {
        peer_read_request(fd, &request);
    } else {
        fake_serve(server, fd, nth);
    }
}

START_TEST(a_lost_call_is_sent_again)
{
    struct nb_channel_options options = {.backoff_ms = 1, .max_attempts = 3};
    fake_server_start(&servers[0], close_twice);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    fixture_call_once(&fixture, &calls[0], 0, 0);
    ck_assert_uint_eq(fixture_counts(&fixture).retries, 2);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);

    options.max_attempts = 2;
    servers[0].n_accepted = 0;
    fake_server_start(&servers[0], close_twice);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    fixture_call_once(&fixture, &calls[1], 0, NB_ERR_CLOSED);
    ck_assert_ptr_nonnull(strstr(calls[1].message, servers[0].address));
    fixture_call_once(&fixture, &calls[2], 0, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

/* The first connection takes requests and is silent, as one does whose other
 * end is gone. */
static void ignore_first(struct fake_server *server, int fd, unsigned nth)
{
    if (nth == 0) {
        fake_ignore(server, fd, nth);
    } else {
        fake_serve(server, fd, nth);
    }
}

START_TEST(a_silent_connection_is_closed)
{
    const struct nb_channel_options options = {.silence_ms = 200,
                                               .backoff_ms = 1};
    fake_server_start(&servers[0], ignore_first);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    fixture_call_once(&fixture, &calls[0], 0, 0);
    ck_assert_uint_ge(fixture_counts(&fixture).losses, 1);
    ck_assert_uint_ge(fixture_counts(&fixture).retries, 1);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

static bool was_pinged(void *arg)
{
    return ((struct fake_server *)arg)->n_requests >= 3;
}

START_TEST(idle_connections_are_kept_and_looked_after)
{
    const struct nb_channel_options options = {
        .keepalive_ms = 5, .silence_ms = 20000, .backoff_ms = 1};
    fake_server_start(&servers[0], fake_serve);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    fixture_run_until(&fixture, was_pinged, &servers[0]);
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

static bool was_lost(void *arg)
{
    return fixture_counts(arg).losses > 0 && fixture_counts(arg).connected == 1;
}

START_TEST(an_idle_connection_that_died_is_found)
{
    const struct nb_channel_options options = {
        .keepalive_ms = 10, .silence_ms = 40, .backoff_ms = 1};
    fake_server_start(&servers[0], ignore_first);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    fixture_run_until(&fixture, was_lost, &fixture);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

/* ---- time ------------------------------------------------------------- */

/* Says which deadline it was told; answers when the gate is opened. */
static atomic_uint told_ms;

static void answer_late(struct fake_server *server, int fd, unsigned nth)
{
    (void)nth;
    struct frame_header request;
    uint8_t body[64];
    peer_read_frame(fd, &request, body, sizeof(body));
    /* timeout_ms is the first field: 18 and a varint of one byte. */
    told_ms = body[0] == 0x18 ? body[1] : 0;
    server->n_requests++;
    fake_server_wait(server, fd);
    fake_answer(server, fd, &request);
    fake_serve(server, fd, nth);
}

START_TEST(a_deadline_is_kept_here_and_told)
{
    fake_server_start(&servers[0], answer_late);
    fixture_channel_open(&fixture, NULL, servers[0].address, NULL);
    fixture_run_connected(&fixture, 1);
    fixture_call_once(&fixture, &calls[0], 50, NB_ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(calls[0].message, "no reply within 50 ms"));
    memset(calls[0].values, 0, sizeof(calls[0].values));
    servers[0].gate = true; /* now it comes, and is nobody's */
    fixture_call_once(&fixture, &calls[1], 0, 0);
    ck_assert_uint_eq(told_ms, 50);
    ck_assert_uint_eq(calls[0].n_done, 1);
    ck_assert_float_eq(calls[0].values[0], 0);
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

static bool was_asked(void *arg)
{
    return ((struct fake_server *)arg)->n_requests > 0;
}

START_TEST(calls_are_cancelled)
{
    fake_server_start(&servers[0], answer_late);
    fixture_channel_open(&fixture, NULL, servers[0].address, NULL);
    /* Before the loop has seen it, */
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[0], 0), 0);
    nb_channel_cancel(fixture.channel, calls[0].ticket);
    nb_channel_cancel(fixture.channel, calls[0].ticket);
    ck_assert_uint_eq(calls[0].n_done, 0);
    fixture_run(&fixture, &calls[0], 1);
    ck_assert_int_eq(calls[0].code, NB_ERR_CANCELLED);
    /* when it is under way, */
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[1], 0), 0);
    fixture_run_until(&fixture, was_asked, &servers[0]);
    nb_channel_cancel(fixture.channel, calls[1].ticket);
    fixture_run(&fixture, &calls[1], 1);
    ck_assert_int_eq(calls[1].code, NB_ERR_CANCELLED);
    /* and when it is done: another call may be in its place. */
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[2], 0), 0);
    nb_channel_cancel(fixture.channel, calls[1].ticket);
    nb_channel_cancel(fixture.channel, 0);
    nb_channel_cancel(fixture.channel, UINT64_MAX);
    servers[0].gate = true;
    fixture_run(&fixture, &calls[2], 1);
    ck_assert_int_eq(calls[2].code, 0);
    ck_assert_uint_eq(calls[0].n_done, 1);
    ck_assert_uint_eq(calls[1].n_done, 1);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

/* Answers two requests in one go, then serves. */
static void answer_two_at_once(struct fake_server *server, int fd, unsigned nth)
{
    struct frame_header requests[2];
    int on = 1;
    int off = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
    for (int i = 0; i < 2; i++) {
        peer_read_request(fd, &requests[i]);
    }
    for (int i = 0; i < 2; i++) {
        fake_answer(server, fd, &requests[i]);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
    fake_serve(server, fd, nth);
}

static void cancel_second(void *arg, const struct nb_outcome *outcome)
{
    fixture_done(arg, outcome);
    nb_channel_cancel(fixture.channel, calls[1].ticket);
}

static void start_third(void *arg, const struct nb_outcome *outcome)
{
    fixture_done(arg, outcome);
    (void)fixture_lookup(&fixture, &calls[2], 0);
}

/* It is answered before that is seen to, and another call has its place. */
START_TEST(a_call_cancelled_too_late)
{
    fake_server_start(&servers[0], answer_two_at_once);
    fixture_channel_open(&fixture, NULL, servers[0].address, NULL);
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &fixture_request, NULL,
                                       cancel_second, &calls[0], NULL, NULL),
                     0);
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &fixture_request, NULL,
                                       start_third, &calls[1], &calls[1].ticket,
                                       NULL),
                     0);
    fixture_run(&fixture, calls, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(calls[i].code, 0);
        ck_assert_uint_eq(calls[i].n_done, 1);
    }
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

START_TEST(closing_ends_every_call)
{
    fake_server_start(&servers[0], fake_ignore);
    fixture_channel_open(&fixture, NULL, servers[0].address, NULL);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[0], 0), 0);
    fixture_run_until(&fixture, was_asked, &servers[0]);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[1], 0), 0);
    fixture_channel_close(&fixture);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(calls[i].n_done, 1);
        ck_assert_int_eq(calls[i].code, NB_ERR_CANCELLED);
    }
    fake_server_stop(&servers[0]);
}
END_TEST

START_TEST(the_queue_is_bounded)
{
    const struct nb_channel_options options = {.max_calls = 2};
    fake_server_start(&servers[0], answer_late);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[0], 0), 0);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[1], 0), 0);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[2], 0), NB_ERR_EXHAUSTED);
    servers[0].gate = true;
    fixture_run(&fixture, calls, 2);
    fixture_call_once(&fixture, &calls[2], 0, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

/* ---- replicas --------------------------------------------------------- */

START_TEST(a_hedge_wins)
{
    const struct nb_channel_options options = {.hedge_ms = 20};
    fake_server_start(&servers[0], answer_late);
    fake_server_start(&servers[1], fake_serve);
    fixture_channel_open(&fixture, &options, servers[0].address,
                         servers[1].address);
    fixture_run_connected(&fixture, 2);
    for (int i = 0; i < 2; i++) { /* one of them meets the slow one first */
        fixture_call_once(&fixture, &calls[i], 0, 0);
        ck_assert_float_eq(calls[i].value, 2);
        ck_assert_str_eq(calls[i].address, servers[1].address);
    }
    struct nb_channel_counts counts = fixture_counts(&fixture);
    ck_assert_uint_ge(counts.hedges, 1); /* more, if the fast one is slow */
    ck_assert_uint_ge(counts.hedge_won, 1);
    servers[0].gate = true; /* the loser's answer is dropped */
    fixture_call_once(&fixture, &calls[2], 0, 0);
    fixture_call_once(&fixture, &calls[3], 0, 0);
    ck_assert_uint_eq(calls[0].n_done + calls[1].n_done, 2);
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
    fake_server_stop(&servers[1]);
}
END_TEST

static void refuse(struct fake_server *server, int fd, unsigned nth)
{
    (void)nth;
    struct frame_header request;
    while (peer_read_request(fd, &request)) {
        server->n_requests++;
        peer_write_error(fd, &request, (uint32_t)server->value, "not now");
    }
}

/* What it refuses, the first may still answer. */
START_TEST(a_hedge_does_no_harm)
{
    const struct nb_channel_options options = {.hedge_ms = 150};
    servers[1].value = RPC_NOT_FOUND;
    fake_server_start(&servers[0], answer_late);
    fake_server_start(&servers[1], refuse);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    fixture_channel_close(&fixture);
    fixture_channel_open(&fixture, &options, servers[0].address,
                         servers[1].address);
    fixture_run_connected(&fixture, 2);
    /* One of two in a row meets the slow one first. */
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[0], 0), 0);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[1], 0), 0);
    while (servers[1].n_requests < 2) {
        uv_run(&fixture.loop, UV_RUN_ONCE);
    }
    servers[0].gate = true;
    fixture_run(&fixture, calls, 2);
    int slow = calls[0].code == 0 ? 0 : 1;
    ck_assert_int_eq(calls[slow].code, 0);
    ck_assert_float_eq(calls[slow].value, 1);
    ck_assert_int_eq(calls[1 - slow].code, NB_ERR_REMOTE);
    ck_assert_uint_eq(calls[1 - slow].remote_code, RPC_NOT_FOUND);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
    fake_server_stop(&servers[1]);
}
END_TEST

START_TEST(the_least_loaded_replica_is_chosen)
{
    fake_server_start(&servers[0], fake_ignore);
    fake_server_start(&servers[1], fake_serve);
    fixture_channel_open(&fixture, NULL, servers[0].address,
                         servers[1].address);
    fixture_run_connected(&fixture, 2);
    unsigned n_stuck = 0;
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_int_eq(fixture_lookup(&fixture, &calls[i], 0), 0);
        while (calls[i].n_done == 0 && servers[0].n_requests == n_stuck) {
            uv_run(&fixture.loop, UV_RUN_ONCE);
        }
        n_stuck = servers[0].n_requests;
    }
    /* One call is stuck there: from then on the other has fewer. */
    ck_assert_uint_eq(servers[0].n_requests, 1);
    ck_assert_uint_eq(servers[1].n_requests, 19);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
    fake_server_stop(&servers[1]);
}
END_TEST

START_TEST(what_is_unavailable_is_asked_elsewhere)
{
    servers[0].value = RPC_UNAVAILABLE;
    fake_server_start(&servers[0], refuse);
    fake_server_start(&servers[1], fake_serve);
    fixture_channel_open(&fixture, NULL, servers[0].address,
                         servers[1].address);
    fixture_run_connected(&fixture, 2);
    for (int i = 0; i < 4; i++) {
        fixture_call_once(&fixture, &calls[i], 0, 0);
        ck_assert_float_eq(calls[i].value, 2);
    }
    ck_assert_uint_ge(servers[0].n_requests, 1);
    ck_assert_uint_eq(fixture_counts(&fixture).retries, servers[0].n_requests);
    fake_server_stop(&servers[1]);
    fixture_run_connected(&fixture, 1);
    fixture_call_once(&fixture, &calls[4], 0, NB_ERR_REMOTE);
    ck_assert_uint_eq(calls[4].remote_code, RPC_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(calls[4].message, "not now"));
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("channel");
    TCase *tcase = tcase_create("channel");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, calls_are_answered);
    tcase_add_test(tcase, replies_out_of_order);
    tcase_add_test(tcase, refusals_are_of_one_call);
    tcase_add_test(tcase, a_server_that_is_killed_and_restarted);
    tcase_add_test(tcase, a_lost_call_is_sent_again);
    tcase_add_test(tcase, a_silent_connection_is_closed);
    tcase_add_test(tcase, idle_connections_are_kept_and_looked_after);
    tcase_add_test(tcase, an_idle_connection_that_died_is_found);
    tcase_add_test(tcase, a_deadline_is_kept_here_and_told);
    tcase_add_test(tcase, calls_are_cancelled);
    tcase_add_test(tcase, a_call_cancelled_too_late);
    tcase_add_test(tcase, closing_ends_every_call);
    tcase_add_test(tcase, the_queue_is_bounded);
    tcase_add_test(tcase, a_hedge_wins);
    tcase_add_test(tcase, a_hedge_does_no_harm);
    tcase_add_test(tcase, the_least_loaded_replica_is_chosen);
    tcase_add_test(tcase, what_is_unavailable_is_asked_elsewhere);
    suite_add_tcase(suite, tcase);
    return suite;
}
