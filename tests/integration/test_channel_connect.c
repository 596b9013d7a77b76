/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* How a channel comes to its connections, and to new ones. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/lib/nibble_client.h"
#include "tests/lib/channel_fixture.h"
#include "tests/lib/run_suite.h"

static struct channel_fixture fixture;
static struct fake_server servers[1];
static struct fixture_call calls[1];

static void setup(void)
{
    memset(servers, 0, sizeof(servers));
    servers[0].value = 1;
}

/* localhost may be ::1 first, where nobody listens. */
START_TEST(names_are_looked_up)
{
    char address[64];
    fake_server_start(&servers[0], fake_serve);
    snprintf(address, sizeof(address), "localhost:%u", servers[0].port);
    fixture_channel_open(&fixture, NULL, address, NULL);
    fixture_call_once(&fixture, &calls[0], 0, 0);
    ck_assert_str_eq(calls[0].address, address);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

static bool was_lost(void *arg)
{
    (void)arg;
    return fixture_counts(&fixture).losses > 0;
}

/* A listener whose queue is full answers nobody. */
START_TEST(connecting_has_a_deadline)
{
    const struct nb_channel_options options = {.connect_timeout_ms = 20};
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    char address[64];
    int fillers[8];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    getsockname(listener, (struct sockaddr *)&at, &bytes);
    for (int i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&at, sizeof(at));
    }
    snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(at.sin_port));
    fixture_channel_open(&fixture, &options, address, NULL);
    fixture_run_until(&fixture, was_lost, NULL);
    fixture_call_once(&fixture, &calls[0], 5, NB_ERR_TIMEOUT);
    ck_assert_msg(strstr(calls[0].message, "connect: deadline") != NULL, "%s",
                  calls[0].message);
    fixture_channel_close(&fixture);
    for (int i = 0; i < 8; i++) {
        close(fillers[i]);
    }
    close(listener);
}
END_TEST

/* A name with a part of over 63 characters is no name, as is known here. */
START_TEST(names_that_are_not_found)
{
    char address[110];
    memset(address, 'a', sizeof(address));
    memcpy(address + 100, "b:1", sizeof("b:1"));
    fixture_channel_open(&fixture, NULL, address, NULL);
    fixture_run_until(&fixture, was_lost, NULL);
    fixture_call_once(&fixture, &calls[0], 5, NB_ERR_TIMEOUT);
    ck_assert_msg(strstr(calls[0].message, "b:1: ") != NULL, "%s",
                  calls[0].message);
    fixture_channel_close(&fixture);
}
END_TEST

static void answer_one(struct fake_server *server, int fd, unsigned nth)
{
    struct frame_header request;
    (void)nth;
    if (peer_read_request(fd, &request)) {
        fake_answer(server, fd, &request);
    }
}

/* With pauses that went on doubling, the last one would be half a minute. */
START_TEST(an_answer_makes_pauses_short_again)
{
    const struct nb_channel_options options = {.backoff_ms = 1,
                                               .backoff_max_ms = 100000};
    fake_server_start(&servers[0], answer_one);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    for (int i = 0; i < 16; i++) {
        fixture_call_once(&fixture, &calls[0], 8000, 0);
    }
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("channel_connect");
    TCase *tcase = tcase_create("connect");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, names_are_looked_up);
    tcase_add_test(tcase, names_that_are_not_found);
    tcase_add_test(tcase, connecting_has_a_deadline);
    tcase_add_test(tcase, an_answer_makes_pauses_short_again);
    suite_add_tcase(suite, tcase);
    return suite;
}
