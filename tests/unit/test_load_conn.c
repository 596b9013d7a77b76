/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Requests of every size leave in order and whole, however little a socket
 * takes at a time. */
#include "client/bench/load_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define N_BODIES 7u
#define N_SENT   900u

/* Small ones in a row, one that just is, large ones, none. */
static const size_t sizes[N_BODIES] = {80, 81, 3, 512, 513, 20000, 0};
static uint8_t *data[N_BODIES];
static struct request_body bodies[N_BODIES];
static struct request_set set = {.bodies = bodies, .n = N_BODIES};
static struct load_conn conn;
static int peer;

static void setup(void)
{
    for (size_t i = 0; i < N_BODIES; i++) {
        data[i] = malloc(sizes[i] + 1);
        memset(data[i], (int)(i + 1), sizes[i]);
        bodies[i] = (struct request_body){data[i], sizes[i]};
    }
    scratch_create();
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", scratch_path("socket"));
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    char address[sizeof(at.sun_path) + 8];
    snprintf(address, sizeof(address), "unix:%s", at.sun_path);
    struct nb_errctx err = {""};
    ck_assert_msg(
        load_conn_open(&conn, address, 5000, &set, LOAD_DEPTH_MAX, &err) == 0,
        "%s", err.text);
    peer = accept(listener, NULL, NULL);
    ck_assert_int_ge(peer, 0);
    close(listener);
}

static void teardown(void)
{
    load_conn_close(&conn);
    close(peer);
    scratch_remove();
    for (size_t i = 0; i < N_BODIES; i++) {
        free(data[i]);
    }
}

/* `n` bytes, of which the client sends more as room is made. */
static void receive(void *to, size_t n)
{
    uint8_t *at = to;
    while (n > 0) {
        ck_assert_int_eq(load_conn_flush(&conn, 1), 0);
        size_t part = n < 997 ? n : 997;
        ssize_t got = recv(peer, at, part, 0);
        ck_assert_int_gt(got, 0);
        at += got;
        n -= (size_t)got;
    }
}

START_TEST(frames_leave_whole)
{
    static uint8_t body[1u << 16];
    uint32_t ids[N_SENT];
    bool filled = false;
    for (size_t i = 0; i < N_SENT; i++) {
        /* Runs of small ones, then all in turns. */
        size_t request = i < 300 ? i % 2 : i % N_BODIES;
        ids[i] = load_conn_queue(&conn, FRAME_METHOD_pool, request, 0, 1)->id;
    }
    ck_assert_int_eq(load_conn_flush(&conn, 1), 0);
    filled = conn.wants_output;
    for (size_t i = 0; i < N_SENT; i++) {
        size_t request = i < 300 ? i % 2 : i % N_BODIES;
        uint8_t frame[FRAME_HEADER_BYTES];
        struct frame_header header;
        receive(frame, sizeof(frame));
        ck_assert_int_eq(frame_header_get(frame, 1u << 20, &header, NULL), 0);
        ck_assert_uint_eq(header.request_id, ids[i]);
        ck_assert_uint_eq(header.method, FRAME_METHOD_pool);
        ck_assert_uint_eq(header.body_bytes, sizes[request]);
        receive(body, sizes[request]);
        ck_assert(sizes[request] == 0 ||
                  memcmp(body, data[request], sizes[request]) == 0);
    }
    ck_assert(filled); /* or this was no test of it */
    ck_assert_uint_eq(conn.n_unsent, 0);
    ck_assert(!conn.wants_output);
}
END_TEST

START_TEST(silence_counts_from_when_something_was_owed)
{
    load_conn_queue(&conn, FRAME_METHOD_pool, 0, 10, 50);
    ck_assert_uint_eq(conn.quiet_since, 50);
    load_conn_queue(&conn, FRAME_METHOD_pool, 0, 10, 60);
    ck_assert_uint_eq(conn.quiet_since, 50);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("load_conn");
    TCase *tcase = tcase_create("send");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, frames_leave_whole);
    tcase_add_test(tcase, silence_counts_from_when_something_was_owed);
    suite_add_tcase(suite, tcase);
    return suite;
}
