/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A loop in its thread, with one listener. */
#include "server/net/loop.h"

#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/run_suite.h"
#include "tests/lib/service_fixture.h"

static struct loop loop;
static struct loop_common common;
static struct sockaddr_in address;
static _Atomic int n_stopped;

static void on_stopped(void *arg)
{
    (void)arg;
    atomic_fetch_add(&n_stopped, 1);
}

static void open_loop(void)
{
    socklen_t bytes = sizeof(address);
    const bool is_unix = false;
    fixture_open("");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    address = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, bytes), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    common = (struct loop_common){
        .service = fixture_service.common,
        .max_conns = 1,
        .max_refusals = 1,
        .stopped = on_stopped,
    };
    n_stopped = 0;
    ck_assert_int_eq(
        loop_init(&loop, &common, 0, fixture_service.catalog, &fd, &is_unix, 1),
        0);
}

static void close_loop(void)
{
    loop_join(&loop);
    ck_assert_int_eq(n_stopped, 1);
    fixture_close();
}

/* A peer that has sent a ping. */
static int connect_peer(void)
{
    uint8_t ping[16];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)),
                     0);
    fixture_put_request(ping, 0, FRAME_METHOD_ping, 1, NULL, 0);
    ck_assert_int_eq(send(fd, ping, 16, MSG_NOSIGNAL), 16);
    return fd;
}

/* The kind of the next frame; -1: the end. */
static int receive(int fd)
{
    uint8_t bytes[256];
    struct frame_header header;
    struct nb_errctx err;
    if (recv(fd, bytes, 16, MSG_WAITALL) != 16) {
        return -1;
    }
    ck_assert_int_eq(frame_header_get(bytes, 200, &header, &err), 0);
    if (header.body_bytes != 0) {
        ck_assert_int_eq(recv(fd, bytes, header.body_bytes, MSG_WAITALL),
                         header.body_bytes);
    }
    return header.kind;
}

START_TEST(one_served_one_told_the_rest_closed)
{
    open_loop();
    ck_assert_int_eq(loop_start(&loop), 0);
    int served = connect_peer();
    ck_assert_int_eq(receive(served), FRAME_REPLY);
    int told = connect_peer();
    ck_assert_int_eq(receive(told), FRAME_ERROR);
    int cut = connect_peer(); /* the one that was told is still there */
    ck_assert_int_eq(receive(cut), -1);
    close(cut);
    close(told);
    close(served);
    loop_drain(&loop);
    close_loop();
}
END_TEST

/* The order to end and the connection are there at once. */
START_TEST(draining_accepts_what_waits)
{
    open_loop();
    int peer = connect_peer();
    loop_drain(&loop);
    ck_assert_int_eq(loop_start(&loop), 0);
    ck_assert_int_eq(receive(peer), FRAME_REPLY);
    ck_assert_int_eq(receive(peer), -1);
    close(peer);
    close_loop();
}
END_TEST

START_TEST(a_loop_that_is_not_started)
{
    open_loop();
    loop_abandon(&loop);
    ck_assert_int_eq(n_stopped, 0);
    fixture_close();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("loop");
    TCase *tcase = tcase_create("loop");
    tcase_add_test(tcase, one_served_one_told_the_rest_closed);
    tcase_add_test(tcase, draining_accepts_what_waits);
    tcase_add_test(tcase, a_loop_that_is_not_started);
    suite_add_tcase(suite, tcase);
    return suite;
}
