/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The client library against servers that do what servers should not: a
 * scripted peer on a thread of its own answers each connection. */
#include "client/lib/nibble_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/fake_peer.h"
#include "tests/lib/run_suite.h"

/* ---- the client's side ------------------------------------------------ */

static const uint64_t ids[PEER_ROWS] = {1, 2, 3};
static const struct nb_feature feature = {.table = "t",
                                          .ids = {.u64 = ids, .n = PEER_ROWS}};
static const struct nb_request request = {.features = &feature,
                                          .n_features = 1};
static struct nb_errctx err;
static const char *address; /* of the peer */
static struct nb_reply reply;

static struct nb_client *connect_peer(uint32_t timeout_ms,
                                      uint32_t max_reply_bytes)
{
    const struct nb_client_options options = {
        .timeout_ms = timeout_ms, .max_reply_bytes = max_reply_bytes};
    struct nb_client *client = NULL;
    int rv = nb_client_connect(address, &options, &client, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return client;
}

static float first_value(void)
{
    float value;
    memcpy(&value, reply.blocks[0].values, sizeof(value));
    return value;
}

static void says(const char *words)
{
    ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
    ck_assert_ptr_null(strchr(err.text, '\n'));
}

/* ---- well-behaved servers, met in odd ways ---------------------------- */

static void answer_bytewise(int fd)
{
    struct frame_header header;
    int pair[2];
    uint8_t bytes[512];
    while (peer_read_request(fd, &header)) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        peer_write_rows(pair[0], &header, 1.5F);
        close(pair[0]);
        ssize_t n = recv(pair[1], bytes, sizeof(bytes), MSG_WAITALL);
        close(pair[1]);
        for (ssize_t i = 0; i < n; i++) {
            peer_write(fd, bytes + i, 1);
        }
    }
}

START_TEST(replies_that_come_byte_by_byte)
{
    address = peer_start(answer_bytewise);
    struct nb_client *client = connect_peer(0, 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(nb_client_lookup(client, &request, &reply, &err), 0);
        ck_assert(first_value() == 1.5F);
        ck_assert_uint_eq(reply.blocks[0].rows, PEER_ROWS);
    }
    nb_client_close(client);
    peer_stop();
}
END_TEST

static void refuse_then_answer(int fd)
{
    struct frame_header header;
    char message[] = "no table\n't'";
    ck_assert(peer_read_request(fd, &header));
    peer_write_error(fd, &header, 5, message);
    while (peer_read_request(fd, &header)) {
        peer_write_rows(fd, &header, 2.0F);
    }
}

START_TEST(an_error_answers_one_request_only)
{
    address = peer_start(refuse_then_answer);
    struct nb_client *client = connect_peer(0, 0);
    ck_assert_uint_eq(nb_client_remote_code(client), 0);
    ck_assert_int_eq(nb_client_lookup(client, &request, &reply, &err),
                     NB_ERR_REMOTE);
    ck_assert_uint_eq(nb_client_remote_code(client), 5);
    says("NOT_FOUND");
    says("no table?'t'");
    ck_assert_int_eq(nb_client_lookup(client, &request, &reply, &err), 0);
    nb_client_close(client);
    peer_stop();
}
END_TEST

/* The first request gets its answer only after the second came. */
static void answer_late(int fd)
{
    struct frame_header late;
    struct frame_header header;
    ck_assert(peer_read_request(fd, &late));
    ck_assert(peer_read_request(fd, &header));
    peer_write_rows(fd, &late, 1.0F);
    peer_write_rows(fd, &header, 2.0F);
    peer_drain(fd);
}

START_TEST(late_replies_are_dropped)
{
    address = peer_start(answer_late);
    struct nb_client *client = connect_peer(50, 0);
    ck_assert_int_eq(nb_client_lookup(client, &request, &reply, &err),
                     NB_ERR_TIMEOUT);
    says("no reply within 50 ms");
    ck_assert_int_eq(nb_client_lookup(client, &request, &reply, &err), 0);
    ck_assert(first_value() == 2.0F);
    nb_client_close(client);
    peer_stop();
}
END_TEST

#define MANY_IDS (4u << 20)

/* Takes nothing until told to, then checks that no frame is torn. */
static pthread_barrier_t barrier;

static void answer_when_told(int fd)
{
    struct frame_header header;
    pthread_barrier_wait(&barrier);
    ck_assert(peer_read_request(fd, &header));
    ck_assert_uint_gt(header.body_bytes, 4 * (size_t)MANY_IDS);
    peer_write_rows(fd, &header, 1.0F);
    while (peer_read_request(fd, &header)) {
        ck_assert_uint_lt(header.body_bytes, 100);
        peer_write_rows(fd, &header, 2.0F);
    }
}

/* A large request times out half-way through; the client's arrays go away, and
 * yet the next request finds the stream whole. */
START_TEST(a_request_cut_short_by_its_deadline)
{
    pthread_barrier_init(&barrier, NULL, 2);
    address = peer_start(answer_when_told);
    struct nb_client *client = connect_peer(200, 0);
    uint32_t *many = calloc(MANY_IDS, sizeof(*many));
    const struct nb_feature large = {.table = "t",
                                     .ids = {.u32 = many, .n = MANY_IDS}};
    const struct nb_request large_request = {.features = &large,
                                             .n_features = 1};
    ck_assert_int_eq(nb_client_lookup(client, &large_request, &reply, &err),
                     NB_ERR_TIMEOUT);
    says("request not taken within 200 ms");
    free(many);
    pthread_barrier_wait(&barrier);
    int rv;
    do { /* sanitizers are slow to move 16 MiB */
        rv = nb_client_lookup(client, &request, &reply, &err);
    } while (rv == NB_ERR_TIMEOUT);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert(first_value() == 2.0F);
    nb_client_close(client);
    peer_stop();
    pthread_barrier_destroy(&barrier);
}
END_TEST

/* The second request cannot go out before the late reply to the first is in: a
 * client that only writes while it writes would wait for ever. */
static void answer_late_and_large(int fd)
{
    struct frame_header header;
    ck_assert(peer_read_request(fd, &header));
    pthread_barrier_wait(&barrier);
    void *body = calloc(4, MANY_IDS);
    peer_write_frame(fd, &header, FRAME_REPLY, body, 4 * (size_t)MANY_IDS);
    free(body);
    while (peer_read_request(fd, &header)) {
        peer_write_rows(fd, &header, 2.0F);
    }
}

START_TEST(replies_are_read_while_requests_are_written)
{
    pthread_barrier_init(&barrier, NULL, 2);
    address = peer_start(answer_late_and_large);
    struct nb_client *client = connect_peer(500, 0);
    uint32_t *many = calloc(MANY_IDS, sizeof(*many));
    const uint32_t lengths[PEER_ROWS] = {MANY_IDS};
    const struct nb_feature large = {.table = "t",
                                     .ids = {.u32 = many, .n = MANY_IDS},
                                     .lengths = lengths,
                                     .n_bags = PEER_ROWS};
    const struct nb_request large_request = {.features = &large,
                                             .n_features = 1};
    ck_assert_int_eq(nb_client_lookup(client, &request, &reply, &err),
                     NB_ERR_TIMEOUT);
    pthread_barrier_wait(&barrier);
    int rv;
    do { /* sanitizers are slow to move 32 MiB */
        rv = nb_client_pool(client, &large_request, &reply, &err);
    } while (rv == NB_ERR_TIMEOUT);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert(first_value() == 2.0F);
    free(many);
    nb_client_close(client);
    peer_stop();
    pthread_barrier_destroy(&barrier);
}
END_TEST

START_TEST(unix_sockets)
{
    address = peer_start_unix(answer_bytewise);
    struct nb_client *client = connect_peer(0, 0);
    ck_assert_int_eq(nb_client_lookup(client, &request, &reply, &err), 0);
    nb_client_close(client);
    peer_stop();
    ck_assert_int_eq(nb_client_connect(address, NULL, &client, &err), -ENOENT);
    says(address);
}
END_TEST

static void leave(int fd)
{
    (void)fd;
}

/* Writing to a closed Unix socket raises SIGPIPE, unless told not to. */
START_TEST(a_peer_that_has_gone_raises_no_signal)
{
    address = peer_start_unix(leave);
    struct nb_client *client = connect_peer(5000, 0);
    peer_stop();
    ck_assert_int_eq(nb_client_lookup(client, &request, &reply, &err), -EPIPE);
    nb_client_close(client);
}
END_TEST

START_TEST(misuse_sends_nothing)
{
    address = peer_start(refuse_then_answer);
    struct nb_client *client = connect_peer(0, 0);
    const struct nb_feature nameless = {.table = ""};
    const struct nb_request wrong = {.features = &nameless, .n_features = 1};
    ck_assert_int_eq(nb_client_lookup(client, &wrong, &reply, &err),
                     NB_ERR_INVALID);
    says("feature 0");
    /* The peer refuses the first request that it sees: this one. */
    ck_assert_int_eq(nb_client_lookup(client, &request, &reply, &err),
                     NB_ERR_REMOTE);
    ck_assert_int_eq(nb_client_lookup(client, &request, &reply, &err), 0);
    nb_client_close(client);
    peer_stop();
}
END_TEST

/* ---- servers that break the rules ------------------------------------- */

static void close_at_once(int fd)
{
    struct frame_header header;
    peer_read_request(fd, &header);
}

static void close_within_a_reply(int fd)
{
    struct frame_header header;
    ck_assert(peer_read_request(fd, &header));
    header.kind = FRAME_REPLY;
    header.body_bytes = 100;
    uint8_t head[FRAME_HEADER_BYTES];
    frame_header_put(head, &header);
    peer_write(fd, head, sizeof(head));
}

static void answer_in_http(int fd)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    struct frame_header header;
    ck_assert(peer_read_request(fd, &header));
    peer_write(fd, text, sizeof(text) - 1);
    peer_drain(fd);
}

static void answer_another_id(int fd)
{
    struct frame_header header;
    ck_assert(peer_read_request(fd, &header));
    header.request_id += 1000;
    peer_write_rows(fd, &header, 1.0F);
    peer_drain(fd);
}

static void answer_another_method(int fd)
{
    struct frame_header header;
    ck_assert(peer_read_request(fd, &header));
    header.method = FRAME_METHOD_pool;
    peer_write_rows(fd, &header, 1.0F);
    peer_drain(fd);
}

static void answer_with_a_request(int fd)
{
    struct frame_header header;
    ck_assert(peer_read_request(fd, &header));
    peer_write_frame(fd, &header, FRAME_REQUEST, "", 0);
    peer_drain(fd);
}

static void answer_too_large(int fd)
{
    struct frame_header header;
    ck_assert(peer_read_request(fd, &header));
    header.kind = FRAME_REPLY;
    header.body_bytes = 1001;
    uint8_t head[FRAME_HEADER_BYTES];
    frame_header_put(head, &header);
    peer_write(fd, head, sizeof(head));
    peer_drain(fd);
}

static void answer_garbage(int fd)
{
    struct frame_header header;
    ck_assert(peer_read_request(fd, &header));
    peer_write_frame(fd, &header, FRAME_REPLY, "\xff\xff\xff", 3);
    peer_drain(fd);
}

static void answer_no_blocks(int fd)
{
    struct frame_header header;
    ck_assert(peer_read_request(fd, &header));
    peer_write_frame(fd, &header, FRAME_REPLY, "", 0);
    peer_drain(fd);
}

static void answer_with_a_broken_error(int fd)
{
    struct frame_header header;
    ck_assert(peer_read_request(fd, &header));
    peer_write_frame(fd, &header, FRAME_ERROR, "\x12\x7f", 2);
    peer_drain(fd);
}

/* As a server does that turns a connection away. */
static void say_why_and_close(int fd)
{
    struct frame_header header = {0};
    char message[] = "too many connections";
    peer_write_error(fd, &header, 8, message);
    peer_drain(fd);
}

static const struct {
    peer_script_fn *script;
    int code;
    const char *words;
} breaches[] = {
    {close_at_once, NB_ERR_CLOSED, "closed by the peer"},
    {close_within_a_reply, NB_ERR_CLOSED, "closed by the peer"},
    {answer_in_http, NB_ERR_FRAME, "magic"},
    {answer_another_id, NB_ERR_FRAME, "nothing of the sort"},
    {answer_another_method, NB_ERR_FRAME, "method 4"},
    {answer_with_a_request, NB_ERR_FRAME, "kind 0"},
    {answer_too_large, NB_ERR_TOO_LARGE, "1001"},
    {answer_garbage, NB_ERR_MESSAGE, "malformed"},
    {answer_no_blocks, NB_ERR_MESSAGE, "0 blocks"},
    {answer_with_a_broken_error, NB_ERR_MESSAGE, "malformed error"},
    {say_why_and_close, NB_ERR_CLOSED, "too many connections"},
};

/* Each gives one clear error, and the same one from then on. */
START_TEST(breaches_end_the_connection)
{
    address = peer_start(breaches[_i].script);
    struct nb_client *client = connect_peer(5000, 1000);
    for (int i = 0; i < 2; i++) {
        err.text[0] = '\0';
        int rv = nb_client_lookup(client, &request, &reply, &err);
        ck_assert_msg(rv == breaches[_i].code, "%d: %s", rv, err.text);
        says(breaches[_i].words);
        says(address);
    }
    ck_assert_int_eq(nb_client_ping(client, &err), breaches[_i].code);
    nb_client_close(client);
    peer_stop();
}
END_TEST

/* A peer that resets while a large request is under way: an error, no signal.
 */
static void reset(int fd)
{
    char byte;
    const struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    ck_assert_int_eq((int)recv(fd, &byte, 1, 0), 1);
}

START_TEST(a_reset_under_a_large_request)
{
    address = peer_start(reset);
    struct nb_client *client = connect_peer(5000, 0);
    uint32_t *many = calloc(MANY_IDS, sizeof(*many));
    const struct nb_feature large = {.table = "t",
                                     .ids = {.u32 = many, .n = MANY_IDS}};
    const struct nb_request large_request = {.features = &large,
                                             .n_features = 1};
    int rv = nb_client_lookup(client, &large_request, &reply, &err);
    ck_assert_msg(rv == -ECONNRESET || rv == -EPIPE, "%d: %s", rv, err.text);
    free(many);
    nb_client_close(client);
    peer_stop();
}
END_TEST

/* ---- no server at all ------------------------------------------------- */

static const struct {
    const char *address;
    int code;
} unreachable[] = {
    {"127.0.0.1:1", -ECONNREFUSED},    {"no.such.host.invalid:1", 0},
    {"127.0.0.1", NB_ERR_INVALID},     {"unix:", NB_ERR_INVALID},
    {"unix:/no/such/socket", -ENOENT}, {"127.0.0.1:77000", NB_ERR_INVALID},
    {"::1:80", NB_ERR_INVALID},
};

START_TEST(servers_that_are_not_there)
{
    struct nb_client *client = NULL;
    int rv = nb_client_connect(unreachable[_i].address, NULL, &client, &err);
    if (unreachable[_i].code != 0) {
        ck_assert_msg(rv == unreachable[_i].code, "%d: %s", rv, err.text);
    }
    ck_assert_int_lt(rv, 0);
    ck_assert_ptr_null(client);
    says(unreachable[_i].address);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static Suite *make_suite(void)
{
    Suite *suite = suite_create("client");
    TCase *tcase = tcase_create("calls");
    tcase_add_test(tcase, replies_that_come_byte_by_byte);
    tcase_add_test(tcase, an_error_answers_one_request_only);
    tcase_add_test(tcase, late_replies_are_dropped);
    tcase_add_test(tcase, a_request_cut_short_by_its_deadline);
    tcase_add_test(tcase, replies_are_read_while_requests_are_written);
    tcase_add_test(tcase, unix_sockets);
    tcase_add_test(tcase, a_peer_that_has_gone_raises_no_signal);
    tcase_add_test(tcase, misuse_sends_nothing);
    tcase_add_loop_test(tcase, breaches_end_the_connection, 0, COUNT(breaches));
    tcase_add_test(tcase, a_reset_under_a_large_request);
    tcase_add_loop_test(tcase, servers_that_are_not_there, 0,
                        COUNT(unreachable));
    suite_add_tcase(suite, tcase);
    return suite;
}
