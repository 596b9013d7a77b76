/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Closing a channel at bad moments: its thread is faster than the one that
 * closes, a caller is slower, nothing is connected yet, a callback does it.
 * Functions of libuv are held up here, where a scheduler might. */
#include <dlfcn.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/channel_fixture.h"
#include "tests/lib/run_suite.h"

#define DEADLINE_NS UINT64_C(60000000000)

static struct fake_server server;
static struct nb_channel *channel;

/* ---- what is held up -------------------------------------------------- */

static atomic_bool slow_wake;              /* uv_async_send() */
static _Thread_local int locks_until_hold; /* 1: at the next one */
static _Thread_local bool closes;          /* this thread does */
static atomic_bool held;                   /* the caller is */
static atomic_bool waited_for;             /* by the one who closes */

int uv_async_send(uv_async_t *async)
{
    int (*real)(uv_async_t *) =
        (int (*)(uv_async_t *))dlsym(RTLD_NEXT, "uv_async_send");
    if (slow_wake) {
        const struct timespec pause = {.tv_nsec = 50000000};
        nanosleep(&pause, NULL); /* the loop turns every ms meanwhile */
    }
    return real(async);
}

void uv_cond_wait(uv_cond_t *cond, uv_mutex_t *mutex)
{
    void (*real)(uv_cond_t *, uv_mutex_t *) =
        (void (*)(uv_cond_t *, uv_mutex_t *))dlsym(RTLD_NEXT, "uv_cond_wait");
    waited_for = waited_for || closes; /* threads of libuv wait, too */
    real(cond, mutex);
}

void uv_mutex_lock(uv_mutex_t *mutex)
{
    void (*real)(uv_mutex_t *) =
        (void (*)(uv_mutex_t *))dlsym(RTLD_NEXT, "uv_mutex_lock");
    if (locks_until_hold > 0 && --locks_until_hold == 0) {
        uint64_t deadline = uv_hrtime() + DEADLINE_NS;
        held = true;
        while (!waited_for && uv_hrtime() < deadline) {
            sched_yield();
        }
    }
    real(mutex);
}

/* ---- threads ---------------------------------------------------------- */

static void open_channel(const struct nb_channel_options *options)
{
    const char *address = server.address;
    struct nb_errctx err = {""};
    int rv = nb_channel_open(&address, 1, options, &channel, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
}

/* It finds the end by itself, before it is woken. */
START_TEST(a_thread_that_ends_before_it_is_woken)
{
    const struct nb_channel_options options = {.keepalive_ms = 1};
    struct nb_channel_counts counts;
    fake_server_start(&server, fake_serve);
    open_channel(&options);
    do {
        sched_yield();
        nb_channel_count(channel, &counts);
    } while (counts.connected == 0);
    slow_wake = true;
    nb_channel_close(channel, NULL, NULL);
    slow_wake = false;
    fake_server_stop(&server);
}
END_TEST

static void *wait_slowly(void *code)
{
    locks_until_hold = 2; /* it has a place, and comes to enter the call */
    *(int *)code =
        nb_channel_lookup_wait(channel, &fixture_request, NULL, NULL, NULL);
    return NULL;
}

START_TEST(a_caller_on_its_way_is_waited_for)
{
    pthread_t thread;
    int code = 0;
    fake_server_start(&server, fake_serve);
    open_channel(NULL);
    pthread_create(&thread, NULL, wait_slowly, &code);
    while (!held) {
        sched_yield();
    }
    closes = true;
    nb_channel_close(channel, NULL, NULL);
    pthread_join(thread, NULL);
    ck_assert(waited_for);
    ck_assert_int_eq(code, NB_ERR_CANCELLED);
    fake_server_stop(&server);
}
END_TEST

/* ---- on a loop -------------------------------------------------------- */

static struct channel_fixture fixture;
static struct fixture_call calls[3];

static void turn(int n)
{
    for (int i = 0; i < n; i++) {
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
    }
}

/* After any number of turns of the loop: a name is being looked up, or what was
 * found is being connected to. */
START_TEST(before_there_is_a_connection)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    char address[64];
    int fillers[4];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    getsockname(listener, (struct sockaddr *)&at, &bytes);
    for (int i = 0; i < 4; i++) { /* its queue is full: nobody is answered */
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&at, sizeof(at));
    }
    snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(at.sin_port));
    fixture_channel_open(&fixture, NULL, address, NULL);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[0], 0), 0);
    turn(_i);
    fixture_channel_close(&fixture);
    ck_assert_uint_eq(calls[0].n_done, 1);
    ck_assert_int_eq(calls[0].code, NB_ERR_CANCELLED);
    for (int i = 0; i < 4; i++) {
        close(fillers[i]);
    }
    close(listener);
}
END_TEST

static bool was_closed;

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void close_within(void *arg, const struct nb_outcome *outcome)
{
    fixture_done(arg, outcome);
    nb_channel_close(fixture.channel, on_closed, &was_closed);
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &fixture_request, NULL,
                                       fixture_done, &calls[2], NULL, NULL),
                     NB_ERR_CANCELLED);
    ck_assert(!was_closed);
}

static void answer_first(struct fake_server *of, int fd, unsigned nth)
{
    struct frame_header request;
    (void)nth;
    peer_read_request(fd, &request);
    fake_answer(of, fd, &request);
    peer_drain(fd);
}

/* The outcome that it was given stays valid; the other call is cancelled. */
START_TEST(a_callback_closes)
{
    fake_server_start(&server, answer_first);
    fixture_channel_open(&fixture, NULL, server.address, NULL);
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &fixture_request, NULL,
                                       close_within, &calls[0], NULL, NULL),
                     0);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[1], 0), 0);
    fixture_run(&fixture, calls, 2);
    uv_close((uv_handle_t *)&fixture.tick, NULL);
    ck_assert_int_eq(uv_run(&fixture.loop, UV_RUN_DEFAULT), 0);
    ck_assert(was_closed);
    ck_assert_int_eq(uv_loop_close(&fixture.loop), 0);
    ck_assert_int_eq(calls[0].code, 0);
    ck_assert_int_eq(calls[1].code, NB_ERR_CANCELLED);
    ck_assert_uint_eq(calls[0].n_done + calls[1].n_done, 2);
    ck_assert_uint_eq(calls[2].n_done, 0);
    fake_server_stop(&server);
}
END_TEST

static void setup(void)
{
    memset(&server, 0, sizeof(server));
    server.value = 1;
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("channel_close");
    TCase *tcase = tcase_create("close");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_thread_that_ends_before_it_is_woken);
    tcase_add_test(tcase, a_caller_on_its_way_is_waited_for);
    tcase_add_loop_test(tcase, before_there_is_a_connection, 0, 5);
    tcase_add_test(tcase, a_callback_closes);
    suite_add_tcase(suite, tcase);
    return suite;
}
