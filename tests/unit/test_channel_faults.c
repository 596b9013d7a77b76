/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A channel where allocations fail: calls end with an error or are answered,
 * connections are made anew, nothing leaks; and in steady state nothing is
 * allocated at all. */
#include <errno.h>
#include <sys/socket.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/channel_fixture.h"
#include "tests/lib/faults.h"
#include "tests/lib/run_suite.h"

static struct channel_fixture fixture;
static struct fake_server server;
static struct fixture_call calls[32];

/* Assertions of check allocate: how many were not answered. */
static unsigned run_calls(void)
{
    unsigned n_failed = 0;
    for (unsigned i = 0; i < 32; i++) {
        n_failed += fixture_lookup(&fixture, &calls[i], 0) != 0;
    }
    fixture_run(&fixture, calls, 32);
    for (unsigned i = 0; i < 32; i++) {
        n_failed += calls[i].code != 0;
    }
    return n_failed;
}

START_TEST(steady_state_allocates_nothing)
{
    unsigned n_failed = 0;
    fake_server_start(&server, fake_serve);
    fixture_channel_open(&fixture, NULL, server.address, NULL);
    for (int i = 0; i < 3; i++) {
        n_failed += run_calls();
    }
    faults_arm(FAULT_ALLOC, 0, ENOMEM, true);
    for (int i = 0; i < 20; i++) {
        n_failed += run_calls();
    }
    ck_assert(!faults_disarm());
    ck_assert_uint_eq(n_failed, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&server);
}
END_TEST

static const struct nb_channel_options quick = {.backoff_ms = 1,
                                                .max_calls = 4};

/* Opens, asks once; *opened tells if there is something to close. */
static int open_and_ask(bool *opened, struct nb_errctx *err)
{
    const char *address = server.address;
    int rv = nb_channel_open_loop(&fixture.loop, &address, 1, &quick,
                                  &fixture.channel, err);
    *opened = rv == 0;
    if (rv == 0) {
        rv = fixture_lookup(&fixture, &calls[0], 0);
    }
    if (*opened && rv == 0) {
        fixture_run(&fixture, calls, 1);
        rv = calls[0].code;
    }
    return rv;
}

START_TEST(every_allocation_fails_once)
{
    fake_server_start(&server, fake_serve);
    size_t n_failed = 0;
    bool given = true;
    for (size_t n = 0; given; n++) {
        struct nb_errctx err = {""};
        bool opened;
        ck_assert_uint_lt(n, 100);
        ck_assert_int_eq(uv_loop_init(&fixture.loop), 0);
        faults_arm(FAULT_ALLOC, n, ENOMEM, false);
        int rv = open_and_ask(&opened, &err);
        given = faults_disarm();
        n_failed += rv != 0;
        ck_assert_msg(rv == 0 || rv == NB_ERR_NOMEM, "%zu: %d", n, rv);
        ck_assert(opened || err.text[0] != '\0');
        if (opened) {
            nb_channel_close(fixture.channel, NULL, NULL);
        }
        ck_assert_int_eq(uv_run(&fixture.loop, UV_RUN_DEFAULT), 0);
        ck_assert_int_eq(uv_loop_close(&fixture.loop), 0);
    }
    ck_assert_uint_ge(n_failed, 7);
    fake_server_stop(&server);
}
END_TEST

START_TEST(a_thread_that_cannot_be_started)
{
    const char *address = "127.0.0.1:1";
    struct nb_channel *channel = NULL;
    struct nb_errctx err = {""};
    for (size_t n = 0; n < 100; n++) {
        faults_arm(FAULT_ALLOC, n, ENOMEM, false);
        int rv = nb_channel_open(&address, 1, &quick, &channel, &err);
        bool given = faults_disarm();
        ck_assert_int_eq(rv, given ? NB_ERR_NOMEM : 0);
        if (!given) {
            break;
        }
    }
    nb_channel_close(channel, NULL, NULL);
}
END_TEST

#define MANY_IDS (4u << 20)

static bool has_begun(void *arg)
{
    (void)arg;
    return server.gate;
}

/* Takes a little of a request, and no more. */
static void take_little(struct fake_server *of, int fd, unsigned nth)
{
    char part[16];
    if (nth == 0) {
        (void)!recv(fd, part, sizeof(part), MSG_WAITALL);
        of->gate = true;
        fake_server_wait_end(fd);
    } else {
        fake_serve(of, fd, nth);
    }
}

/* Giving a request up half-way takes memory for its rest: without it the
 * connection is over, and the others on it are sent again. */
START_TEST(a_request_cut_short_without_memory)
{
    uint32_t *ids = calloc(MANY_IDS, sizeof(*ids));
    const struct nb_feature feature = {.table = "t",
                                       .ids = {.u32 = ids, .n = MANY_IDS}};
    const struct nb_request large = {.features = &feature, .n_features = 1};
    fake_server_start(&server, take_little);
    fixture_channel_open(&fixture, &quick, server.address, NULL);
    fixture_run_connected(&fixture, 1);
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &large, NULL,
                                       fixture_done, &calls[0],
                                       &calls[0].ticket, NULL),
                     0);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[1], 0), 0);
    fixture_run_until(&fixture, has_begun, NULL);
    nb_channel_cancel(fixture.channel, calls[0].ticket);
    faults_arm(FAULT_ALLOC, 0, ENOMEM, false);
    fixture_run(&fixture, calls, 1);
    ck_assert(faults_disarm()); /* the rest could not be kept */
    ck_assert_int_eq(calls[0].code, NB_ERR_CANCELLED);
    fixture_run(&fixture, &calls[1], 1);
    ck_assert_int_eq(calls[1].code, 0);
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 1);
    ck_assert_uint_eq(fixture_counts(&fixture).retries, 1);
    fixture_channel_close(&fixture);
    fake_server_stop(&server);
    free(ids);
}
END_TEST

/* It is not known what the other side has seen: the connection is replaced,
 * once nobody waits for an answer on it. */
START_TEST(a_write_that_fails)
{
    const struct nb_channel_options options = {
        .backoff_ms = 1, .keepalive_ms = 20, .max_attempts = 1};
    fake_server_start(&server, fake_serve);
    fixture_channel_open(&fixture, &options, server.address, NULL);
    fixture_run_connected(&fixture, 1);
    faults_arm(FAULT_SEND, 0, ENOBUFS, false);
    fixture_call_once(&fixture, &calls[0], 1, NB_ERR_TIMEOUT);
    ck_assert(faults_disarm());
    fixture_call_once(&fixture, &calls[1], 20000, 0);
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 1);
    fixture_channel_close(&fixture);
    fake_server_stop(&server);
}
END_TEST

static void setup(void)
{
    memset(&server, 0, sizeof(server));
    memset(calls, 0, sizeof(calls));
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("channel_faults");
    TCase *tcase = tcase_create("faults");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, steady_state_allocates_nothing);
    tcase_add_test(tcase, every_allocation_fails_once);
    tcase_add_test(tcase, a_thread_that_cannot_be_started);
    tcase_add_test(tcase, a_request_cut_short_without_memory);
    tcase_add_test(tcase, a_write_that_fails);
    suite_add_tcase(suite, tcase);
    return suite;
}
