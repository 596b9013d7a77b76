/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A channel against servers that talk nonsense, or another version. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "client/lib/nibble_client.h"
#include "proto/rpc_code.h"
#include "tests/lib/channel_fixture.h"
#include "tests/lib/run_suite.h"

static struct channel_fixture fixture;
static struct fake_server servers[1];
static struct fixture_call calls[2];

static void setup(void)
{
    memset(servers, 0, sizeof(servers));
    servers[0].value = 1;
}

static bool was_lost(void *arg)
{
    return fixture_counts(arg).losses == 1 &&
           fixture_counts(arg).connected == 1;
}

/* The first connection answers with `breach`, the others as they should. */
static void (*breach)(int fd, struct frame_header *request);

static void break_first(struct fake_server *server, int fd, unsigned nth)
{
    struct frame_header request;
    if (nth == 0) {
        peer_read_request(fd, &request);
        breach(fd, &request);
        peer_drain(fd);
    } else {
        fake_serve(server, fd, nth);
    }
}

static void say_http(int fd, struct frame_header *request)
{
    (void)request;
    peer_write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void speak_version_2(int fd, struct frame_header *request)
{
    (void)request;
    peer_write(fd, "NBL2\1\0\3\0\1\0\0\0\0\0\0\0", 16);
}

static void answer_another(int fd, struct frame_header *request)
{
    request->request_id += 5;
    peer_write_rows(fd, request, 9);
}

static void answer_another_method(int fd, struct frame_header *request)
{
    request->method = FRAME_METHOD_pool;
    peer_write_rows(fd, request, 9);
}

static void answer_twice(int fd, struct frame_header *request)
{
    peer_write_error(fd, request, RPC_INTERNAL, "first");
    peer_write_rows(fd, request, 9);
}

static void send_a_request(int fd, struct frame_header *request)
{
    peer_write_frame(fd, request, FRAME_REQUEST, NULL, 0);
}

static void answer_without_blocks(int fd, struct frame_header *request)
{
    peer_write_frame(fd, request, FRAME_REPLY, NULL, 0);
}

static void answer_with_noise(int fd, struct frame_header *request)
{
    peer_write_frame(fd, request, FRAME_REPLY, "\xff\xff\xff\xff", 4);
}

static void answer_with_a_broken_error(int fd, struct frame_header *request)
{
    peer_write_frame(fd, request, FRAME_ERROR, "\xff\xff\xff\xff", 4);
}

static void promise_too_much(int fd, struct frame_header *request)
{
    (void)request;
    peer_write(fd, "NBL1\1\0\3\0\1\0\0\0\xff\xff\xff\xff", 16);
}

static void end_the_connection(int fd, struct frame_header *request)
{
    request->request_id = 0;
    peer_write_error(fd, request, RPC_UNAVAILABLE, "too many connections");
}

static const struct {
    void (*breach)(int fd, struct frame_header *request);
    int code;
    const char *words;
} breaches[] = {
    {say_http, NB_ERR_FRAME, "magic"},
    {speak_version_2, NB_ERR_FRAME, "version"},
    {answer_another, NB_ERR_FRAME, "nothing of the sort"},
    {answer_another_method, NB_ERR_FRAME, "nothing of the sort"},
    {send_a_request, NB_ERR_FRAME, "nothing of the sort"},
    {answer_without_blocks, NB_ERR_MESSAGE, "0 blocks"},
    {answer_with_noise, NB_ERR_MESSAGE, "reply"},
    {answer_with_a_broken_error, NB_ERR_MESSAGE, "malformed error"},
    {promise_too_much, NB_ERR_TOO_LARGE, "4294967295"},
    {end_the_connection, NB_ERR_CLOSED, "too many connections"},
};
#define N_BREACHES ((int)(sizeof(breaches) / sizeof(breaches[0])))

/* It ends the connection, and with that the attempt; the next one is answered.
 */
START_TEST(nonsense_ends_its_connection)
{
    breach = breaches[_i].breach;
    struct nb_channel_options options = {.backoff_ms = 1, .max_attempts = 1};
    fake_server_start(&servers[0], break_first);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    fixture_call_once(&fixture, &calls[0], 0, breaches[_i].code);
    ck_assert_msg(strstr(calls[0].message, breaches[_i].words) != NULL, "%s",
                  calls[0].message);
    ck_assert_ptr_nonnull(strstr(calls[0].message, servers[0].address));
    fixture_call_once(&fixture, &calls[1], 0, 0);
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 1);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

START_TEST(a_second_answer_ends_the_connection)
{
    const struct nb_channel_options options = {.backoff_ms = 1};
    breach = answer_twice;
    fake_server_start(&servers[0], break_first);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    fixture_call_once(&fixture, &calls[0], 0, NB_ERR_REMOTE);
    ck_assert_uint_eq(calls[0].remote_code, RPC_INTERNAL);
    fixture_run_until(&fixture, was_lost, &fixture);
    fixture_call_once(&fixture, &calls[1], 0, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

#define MANY_IDS (4u << 20)

/* Answers the second request when it has read only the beginning of the first.
 */
static void answer_unsent(struct fake_server *server, int fd, unsigned nth)
{
    uint8_t part[FRAME_HEADER_BYTES];
    struct frame_header request;
    if (nth > 0) {
        fake_serve(server, fd, nth);
        return;
    }
    (void)!recv(fd, part, sizeof(part), MSG_WAITALL);
    (void)frame_header_get(part, UINT32_MAX, &request, NULL);
    request.request_id++;
    peer_write_rows(fd, &request, 9);
    fake_server_wait_end(fd);
}

START_TEST(an_answer_to_what_was_not_sent)
{
    const struct nb_channel_options options = {.backoff_ms = 1};
    uint32_t *ids = calloc(MANY_IDS, sizeof(*ids));
    const struct nb_feature feature = {.table = "t",
                                       .ids = {.u32 = ids, .n = MANY_IDS}};
    const struct nb_request large = {.features = &feature, .n_features = 1};
    fake_server_start(&servers[0], answer_unsent);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    fixture_run_connected(&fixture, 1);
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &large, NULL,
                                       fixture_done, &calls[0],
                                       &calls[0].ticket, NULL),
                     0);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[1], 0), 0);
    fixture_run(&fixture, &calls[1], 1);
    ck_assert_int_eq(calls[1].code, 0);
    ck_assert_float_eq(calls[1].value, 1); /* of another connection */
    nb_channel_cancel(fixture.channel, calls[0].ticket);
    fixture_run(&fixture, calls, 1);
    ck_assert_uint_ge(fixture_counts(&fixture).losses, 1);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
    free(ids);
}
END_TEST

/* A newer server: a field that is not known is skipped; an older one: the
 * method is not known there. */
static void add_a_field(int fd, struct frame_header *request)
{
    peer_write_newer_rows(fd, request, 7);
}

static void do_not_know(int fd, struct frame_header *request)
{
    peer_write_error(fd, request, RPC_UNIMPLEMENTED, "method: 3 is not known");
}

START_TEST(servers_of_other_versions)
{
    breach = _i == 0 ? add_a_field : do_not_know;
    fake_server_start(&servers[0], break_first);
    fixture_channel_open(&fixture, NULL, servers[0].address, NULL);
    fixture_call_once(&fixture, &calls[0], 0, _i == 0 ? 0 : NB_ERR_REMOTE);
    ck_assert_float_eq(calls[0].value, _i == 0 ? 7 : 0);
    ck_assert_uint_eq(calls[0].remote_code, _i == 0 ? 0 : RPC_UNIMPLEMENTED);
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("channel_nonsense");
    TCase *tcase = tcase_create("nonsense");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, nonsense_ends_its_connection, 0, N_BREACHES);
    tcase_add_test(tcase, a_second_answer_ends_the_connection);
    tcase_add_test(tcase, an_answer_to_what_was_not_sent);
    tcase_add_loop_test(tcase, servers_of_other_versions, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
