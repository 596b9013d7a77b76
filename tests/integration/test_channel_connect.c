/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* How a channel comes to its connections, and to new ones; and a client. */
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
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
static struct {
    int listener;
    int fillers[8];
    uint16_t port;
} mute;

static void mute_start(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    mute.listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(mute.listener, (struct sockaddr *)&at, sizeof(at)),
                     0);
    ck_assert_int_eq(listen(mute.listener, 0), 0);
    getsockname(mute.listener, (struct sockaddr *)&at, &bytes);
    mute.port = ntohs(at.sin_port);
    for (int i = 0; i < 8; i++) {
        mute.fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(mute.fillers[i], (struct sockaddr *)&at, sizeof(at));
    }
}

static void mute_stop(void)
{
    for (int i = 0; i < 8; i++) {
        close(mute.fillers[i]);
    }
    close(mute.listener);
}

START_TEST(connecting_has_a_deadline)
{
    const struct nb_channel_options options = {.connect_timeout_ms = 20};
    char address[64];
    mute_start();
    snprintf(address, sizeof(address), "127.0.0.1:%u", mute.port);
    fixture_channel_open(&fixture, &options, address, NULL);
    fixture_run_until(&fixture, was_lost, NULL);
    fixture_call_once(&fixture, &calls[0], 5, NB_ERR_TIMEOUT);
    ck_assert_msg(strstr(calls[0].message, "connect: deadline") != NULL, "%s",
                  calls[0].message);
    fixture_channel_close(&fixture);
    mute_stop();
}
END_TEST

/* ---- names of several addresses --------------------------------------- */

/* Ports of 127.0.0.1, which are what the name stands for; 0: no more. */
static uint16_t known_ports[4];

/* As glibc makes them: freeaddrinfo() frees each in one piece. */
static struct addrinfo *make_address(uint16_t port)
{
    struct addrinfo *made =
        calloc(1, sizeof(*made) + sizeof(struct sockaddr_in));
    struct sockaddr_in *at = (struct sockaddr_in *)(made + 1);
    *at = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_port = htons(port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    made->ai_family = AF_INET;
    made->ai_socktype = SOCK_STREAM;
    made->ai_addr = (struct sockaddr *)at;
    made->ai_addrlen = sizeof(*at);
    return made;
}

/* NOLINTNEXTLINE(readability-inconsistent*): those of glibc are reserved */
NB_API int getaddrinfo(const char *host, const char *port,
                       const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *,
                struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (host == NULL || strcmp(host, "several.test") != 0) {
        return real(host, port, hints, found);
    }
    for (size_t i = 0; known_ports[i] != 0; i++) {
        *found = make_address(known_ports[i]);
        found = &(*found)->ai_next;
    }
    return 0;
}

static uint16_t port_of_nobody(void)
{
    struct fake_server gone = {.port = 0};
    fake_server_start(&gone, fake_ignore);
    fake_server_stop(&gone);
    return gone.port;
}

/* One refuses, one is silent, the third is there. */
static void know_three(void)
{
    fake_server_start(&servers[0], fake_serve);
    mute_start();
    known_ports[0] = port_of_nobody();
    known_ports[1] = mute.port;
    known_ports[2] = servers[0].port;
    known_ports[3] = 0;
}

/* In one go: after a pause it would be minutes later. */
START_TEST(the_next_address_is_tried)
{
    const struct nb_channel_options options = {.connect_timeout_ms = 300,
                                               .backoff_ms = 300000,
                                               .backoff_max_ms = 300000};
    know_three();
    fixture_channel_open(&fixture, &options, "several.test:1", NULL);
    fixture_call_once(&fixture, &calls[0], 0, 0);
    const struct nb_channel_counts counts = fixture_counts(&fixture);
    ck_assert_uint_eq(counts.connects, 1);
    ck_assert_uint_eq(counts.losses, 2);
    fixture_channel_close(&fixture);
    mute_stop();
    fake_server_stop(&servers[0]);
}
END_TEST

START_TEST(the_last_address_is_followed_by_a_pause)
{
    const struct nb_channel_options options = {.connect_timeout_ms = 300};
    mute_start();
    known_ports[0] = port_of_nobody();
    known_ports[1] = mute.port;
    known_ports[2] = 0;
    fixture_channel_open(&fixture, &options, "several.test:1", NULL);
    fixture_run_until(&fixture, was_lost, NULL);
    mute_stop(); /* from now on both refuse */
    fixture_call_once(&fixture, &calls[0], 700, NB_ERR_TIMEOUT);
    ck_assert_uint_ge(fixture_counts(&fixture).losses, 4);
    fixture_channel_close(&fixture);
}
END_TEST

START_TEST(a_client_tries_the_next_address)
{
    const struct nb_client_options options = {.connect_timeout_ms = 300};
    struct nb_client *client = NULL;
    struct nb_errctx err = {""};
    know_three();
    int rv = nb_client_connect("several.test:1", &options, &client, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert_int_eq(nb_client_ping(client, &err), 0);
    nb_client_close(client);
    known_ports[2] = 0;
    ck_assert_int_eq(
        nb_client_connect("several.test:1", &options, &client, &err),
        NB_ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(err.text, "several.test:1: cannot connect"));
    mute_stop();
    fake_server_stop(&servers[0]);
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
    tcase_add_test(tcase, the_next_address_is_tried);
    tcase_add_test(tcase, the_last_address_is_followed_by_a_pause);
    tcase_add_test(tcase, a_client_tries_the_next_address);
    tcase_add_test(tcase, an_answer_makes_pauses_short_again);
    suite_add_tcase(suite, tcase);
    return suite;
}
