/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A connection over a real socket, on a loop that the test turns and by a clock
 * that it sets. */
#include "server/net/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/run_suite.h"
#include "tests/lib/service_fixture.h"

#define MS        UINT64_C(1000000)
#define QUIET_MS  100 /* a pause, when draining */
#define SERVE_MS  1000
#define LINGER_MS 1000

static uv_loop_t loop;
static struct conn conn;
static int peer; /* the other end */
static bool is_closed;

static void on_closed(struct conn *closed)
{
    ck_assert_ptr_eq(closed, &conn);
    is_closed = true;
}

/* Both ends of a TCP connection. */
static void connect_pair(int ends[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    const int small = 64 << 10;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(listener >= 0 && ends[1] >= 0);
    setsockopt(ends[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    setsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &small, sizeof(small));
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, bytes), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &bytes), 0);
    ck_assert_int_eq(connect(ends[1], (struct sockaddr *)&at, bytes), 0);
    ends[0] = accept(listener, NULL, NULL);
    ck_assert_int_ge(ends[0], 0);
    close(listener);
}

static void open_with(const char *flags)
{
    int ends[2];
    fixture_open(flags);
    connect_pair(ends);
    peer = ends[1];
    is_closed = false;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(conn_init(&conn, &loop, false, &fixture_service), 0);
    conn.closed = on_closed;
    ck_assert_int_eq(uv_tcp_open(&conn.io.tcp, ends[0]), 0);
    ck_assert_int_eq(conn_start(&conn), 0);
}

static void turn(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    service_end_turn(&fixture_service);
}

static void teardown(void)
{
    conn_close(&conn, NULL);
    for (int i = 0; i < 100 && !is_closed; i++) {
        turn();
    }
    ck_assert(is_closed);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    close(peer);
    fixture_close();
}

static void after_ms(uint64_t ms)
{
    fixture_now_ns += ms * MS;
    conn_check_time(&conn, fixture_now_ns);
}

static size_t ping(uint8_t *to, size_t at, uint32_t id)
{
    return fixture_put_request(to, at, FRAME_METHOD_ping, id, NULL, 0);
}

static void send_ping(uint32_t id)
{
    uint8_t frame[16];
    ck_assert_int_eq(write(peer, frame, ping(frame, 0, id)), 16);
}

/* Turns the loop until the peer is answered, and returns the id. */
static uint32_t receive_ping(void)
{
    uint8_t reply[16];
    struct fixture_frame frame;
    const uint8_t *at = reply;
    for (int i = 0; i < 10000; i++) {
        turn();
        if (recv(peer, reply, sizeof(reply), MSG_DONTWAIT) == 16) {
            ck_assert(fixture_next_frame(&at, reply + 16, &frame));
            return frame.header.request_id;
        }
    }
    ck_abort_msg("no answer");
}

START_TEST(small_replies_are_not_held_back)
{
    int on = 0;
    socklen_t bytes = sizeof(on);
    uv_os_fd_t fd;
    open_with("");
    ck_assert_int_eq(uv_fileno(&conn.io.handle, &fd), 0);
    ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &bytes), 0);
    ck_assert_int_ne(on, 0);
    teardown();
}
END_TEST

START_TEST(draining_waits_for_a_pause)
{
    open_with("");
    after_ms(5000);
    send_ping(1);
    ck_assert_uint_eq(receive_ping(), 1);
    conn_drain(&conn);
    after_ms(QUIET_MS - 1);
    ck_assert_int_eq(conn.state, CONN_OPEN);
    after_ms(1);
    ck_assert_int_eq(conn.state, CONN_LINGER);
    teardown();
}
END_TEST

/* The loop is late, not the peer. */
START_TEST(a_request_that_has_arrived_is_no_pause)
{
    open_with("");
    conn_drain(&conn);
    send_ping(1);
    after_ms(QUIET_MS + 1);
    ck_assert_int_eq(conn.state, CONN_OPEN);
    ck_assert_uint_eq(receive_ping(), 1);
    after_ms(QUIET_MS);
    ck_assert_int_eq(conn.state, CONN_LINGER);
    teardown();
}
END_TEST

/* However late its second half comes. */
START_TEST(a_frame_begun_is_finished)
{
    uint8_t frames[32];
    ping(frames, ping(frames, 0, 1), 2);
    open_with("");
    ck_assert_int_eq(write(peer, frames, 7), 7);
    while (conn.session.in == NULL) {
        turn();
    }
    conn_drain(&conn);
    after_ms(SERVE_MS + 1);
    after_ms(3000);
    ck_assert_int_eq(conn.state, CONN_OPEN);
    ck_assert_int_eq(write(peer, frames + 7, 25), 25);
    ck_assert_uint_eq(receive_ping(), 1);
    ck_assert_int_eq(conn.state, CONN_LINGER); /* not what is behind it */
    teardown();
}
END_TEST

/* What has arrived by the end of that second, and no more. */
START_TEST(a_peer_that_never_pauses_is_cut)
{
    open_with("");
    conn_drain(&conn);
    for (uint32_t i = 0; i < 20; i++) {
        send_ping(i);
        ck_assert_uint_eq(receive_ping(), i);
        after_ms(50);
        ck_assert_int_eq(conn.state, CONN_OPEN);
    }
    send_ping(20);
    send_ping(21);
    after_ms(1);
    send_ping(22);
    ck_assert_uint_eq(receive_ping(), 20);
    ;
    ck_assert_uint_eq(receive_ping(), 21);
    ;
    ck_assert_int_eq(conn.state, CONN_LINGER);
    teardown();
}
END_TEST

START_TEST(a_peer_that_does_not_close_is_left)
{
    open_with("");
    ck_assert_int_eq(write(peer, "GET / HTTP/1.1\r\n", 16), 16);
    while (conn.state == CONN_OPEN) {
        turn();
    }
    ck_assert_int_eq(conn.state, CONN_LINGER);
    after_ms(LINGER_MS);
    ck_assert_int_eq(conn.state, CONN_LINGER);
    after_ms(1);
    ck_assert_int_eq(conn.state, CONN_CLOSING);
    teardown();
}
END_TEST

/* Asks for more than the sockets hold, so that a write is outstanding. */
static void fill(void)
{
    static uint8_t requests[1 << 20];
    static uint8_t body[8 + 4 * 10000] = {0x0a, 1, 'b', 0x1a};
    uint8_t *at = body + 4;
    for (uint32_t n = 40000; n != 0; n >>= 7) {
        *at++ = (uint8_t)((n & 0x7f) | (n >= 0x80 ? 0x80 : 0));
    }
    uint32_t bytes = (uint32_t)(at - body) + 40000;
    uint8_t request[16 + 4 + sizeof(body)] = {0x2a};
    at = request + 1;
    for (uint32_t n = bytes; n != 0; n >>= 7) {
        *at++ = (uint8_t)((n & 0x7f) | (n >= 0x80 ? 0x80 : 0));
    }
    memcpy(at, body, bytes);
    size_t size = (size_t)(at - request) + bytes;
    size_t n = 0;
    for (uint32_t i = 0; i < 20; i++) { /* 360 KB each */
        n = fixture_put_request(requests, n, FRAME_METHOD_lookup, i, request,
                                size);
    }
    for (size_t sent = 0; sent < n || !conn.writing;) {
        if (sent < n) {
            ssize_t part = send(peer, requests + sent, n - sent, MSG_DONTWAIT);
            sent += part > 0 ? (size_t)part : 0;
        }
        turn();
    }
    ck_assert(conn.writing);
}

/* The peer takes about that much. */
static void take(size_t bytes)
{
    static uint8_t to[1 << 16];
    while (bytes > 0) {
        ssize_t n = recv(peer, to, sizeof(to), 0);
        ck_assert_int_gt(n, 0);
        bytes -= (size_t)n < bytes ? (size_t)n : bytes;
    }
}

START_TEST(a_peer_that_takes_nothing_is_left)
{
    open_with("--write-timeout 10 --write-high 64MiB");
    fill();
    after_ms(10000);
    ck_assert_int_eq(conn.state, CONN_OPEN);
    after_ms(1);
    ck_assert_int_eq(conn.state, CONN_CLOSING);
    ck_assert_ptr_nonnull(strstr(conn.reason, "write timeout"));
    teardown();
}
END_TEST

/* Slow, but taking: the loop is not turned, so what moves is in the sockets. */
START_TEST(a_slow_peer_is_waited_for)
{
    open_with("--write-timeout 10 --write-high 64MiB");
    fill();
    for (int i = 0; i < 4; i++) {
        after_ms(9000);
        ck_assert_int_eq(conn.state, CONN_OPEN);
        size_t before = conn.stalled_bytes;
        take(128 << 10);
        conn_check_time(&conn, fixture_now_ns);
        ck_assert(conn.writing);
        ck_assert_uint_lt(conn.stalled_bytes, before);
    }
    after_ms(10001);
    ck_assert_int_eq(conn.state, CONN_CLOSING);
    teardown();
}
END_TEST

/* It goes on while the peer asks, and ends at a pause. */
START_TEST(an_old_connection_ends_at_a_pause)
{
    open_with("--max-connection-age 100");
    conn.id = 1;
    after_ms(80000);
    send_ping(1);
    ck_assert_uint_eq(receive_ping(), 1);
    after_ms(9000); /* a tenth less than told is the least */
    ck_assert_int_eq(conn.drain, CONN_DRAIN_NO);
    send_ping(2);
    ck_assert_uint_eq(receive_ping(), 2);
    send_ping(3);
    after_ms(22000); /* a tenth more is the most */
    ck_assert_int_ne(conn.drain, CONN_DRAIN_NO);
    ck_assert_uint_eq(receive_ping(), 3);
    after_ms(QUIET_MS + 1);
    ck_assert_int_eq(conn.state, CONN_LINGER);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("conn");
    TCase *tcase = tcase_create("conn");
    tcase_add_test(tcase, small_replies_are_not_held_back);
    tcase_add_test(tcase, draining_waits_for_a_pause);
    tcase_add_test(tcase, a_request_that_has_arrived_is_no_pause);
    tcase_add_test(tcase, a_frame_begun_is_finished);
    tcase_add_test(tcase, a_peer_that_never_pauses_is_cut);
    tcase_add_test(tcase, a_peer_that_does_not_close_is_left);
    tcase_add_test(tcase, a_peer_that_takes_nothing_is_left);
    tcase_add_test(tcase, a_slow_peer_is_waited_for);
    tcase_add_test(tcase, an_old_connection_ends_at_a_pause);
    suite_add_tcase(suite, tcase);
    return suite;
}
