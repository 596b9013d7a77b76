/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Requests of every size leave in order and whole, however little a socket
 * takes at a time. Of the frames that come, those that answer nothing end a
 * connection, and those that only come too late do not. */
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
#define N_LARGE  400u
#define DEPTH    3u

/* Small ones in a row, one that just is, large ones, none. */
static const size_t sizes[N_BODIES] = {80, 81, 3, 512, 513, 20000, 0};
static uint8_t *data[N_BODIES];
static struct request_body bodies[N_BODIES];
static struct request_set set = {.bodies = bodies, .n = N_BODIES};
static struct load_conn conn;
static int listener;
static int peer;

static void setup_depth(uint32_t depth)
{
    for (size_t i = 0; i < N_BODIES; i++) {
        data[i] = malloc(sizes[i] + 1);
        memset(data[i], (int)(i + 1), sizes[i]);
        bodies[i] = (struct request_body){data[i], sizes[i]};
    }
    scratch_create();
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", scratch_path("socket"));
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    char address[sizeof(at.sun_path) + 8];
    snprintf(address, sizeof(address), "unix:%s", at.sun_path);
    struct nb_errctx err = {""};
    ck_assert_msg(load_conn_open(&conn, address, 5000, &set, depth, &err) == 0,
                  "%s", err.text);
    peer = accept(listener, NULL, NULL);
    ck_assert_int_ge(peer, 0);
}

static void setup(void)
{
    setup_depth(LOAD_DEPTH_MAX);
}

static void setup_shallow(void)
{
    setup_depth(DEPTH);
}

static void teardown(void)
{
    load_conn_close(&conn);
    close(peer);
    close(listener);
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

/* More than a socket takes. */
static void fill_socket(struct load_slot **slots)
{
    for (size_t i = 0; i < N_LARGE; i++) {
        slots[i] = load_conn_queue(&conn, FRAME_METHOD_pool, 5, 1, 1);
    }
    ck_assert_int_eq(load_conn_flush(&conn, 1), 0);
    ck_assert(conn.wants_output);
}

START_TEST(what_waits_for_room_is_held)
{
    struct load_slot *slots[N_LARGE];
    fill_socket(slots);
    size_t n_held = 0;
    for (size_t i = 0; i < N_LARGE; i++) {
        ck_assert_int_eq(slots[i]->held, slots[i]->sent == 0);
        n_held += slots[i]->held;
    }
    ck_assert_uint_gt(n_held, 0);
    ck_assert_uint_lt(n_held, N_LARGE);
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

/* ---- replies ---------------------------------------------------------- */

/* A request that is sent, then given up. Its slot is the next one's again. */
static uint32_t give_up_one(void)
{
    struct load_slot *slot = load_conn_queue(&conn, FRAME_METHOD_pool, 2, 1, 1);
    uint32_t id = slot->id;
    ck_assert_int_eq(load_conn_flush(&conn, 1), 0);
    ck_assert(slot->out);
    load_conn_give_up(&conn, slot);
    ck_assert_int_eq(slot->state, SLOT_FREE);
    return id;
}

static void count_answer(void *arg, const struct load_slot *slot,
                         const struct frame_header *header, const uint8_t *body,
                         uint64_t now)
{
    (void)slot, (void)header, (void)body, (void)now;
    ++*(int *)arg;
}

/* What becomes of a reply to `id`; it answers nothing that is waited for. */
static int take_reply(uint32_t id)
{
    const struct frame_header header = {
        .kind = FRAME_REPLY, .method = FRAME_METHOD_pool, .request_id = id};
    uint8_t frame[FRAME_HEADER_BYTES];
    frame_header_put(frame, &header);
    ck_assert_int_eq(send(peer, frame, sizeof(frame), 0), sizeof(frame));
    struct nb_errctx err = {""};
    size_t bytes;
    int n_answers = 0;
    int rv = load_conn_read(&conn, count_answer, &n_answers, &bytes, &err);
    ck_assert_uint_eq(bytes, sizeof(frame));
    ck_assert_int_eq(n_answers, 0);
    return rv;
}

START_TEST(a_late_reply_is_left_out_once)
{
    uint32_t id = give_up_one();
    uint32_t next = load_conn_queue(&conn, FRAME_METHOD_pool, 2, 1, 1)->id;
    ck_assert_uint_eq(next % LOAD_DEPTH_MAX, id % LOAD_DEPTH_MAX);
    ck_assert_int_eq(take_reply(id), 0);
    ck_assert_int_eq(take_reply(id), NB_ERR_FRAME);
}
END_TEST

START_TEST(each_request_given_up_may_be_late)
{
    uint32_t ids[] = {give_up_one(), give_up_one(), give_up_one()};
    ck_assert_int_eq(take_reply(ids[1]), 0);
    ck_assert_int_eq(take_reply(ids[2]), 0);
    ck_assert_int_eq(take_reply(ids[0]), 0);
    ck_assert_int_eq(take_reply(ids[0]), NB_ERR_FRAME);
}
END_TEST

/* Added to the id of the request given up. */
static const uint32_t garbage[] = {
    1,                       /* a slot that has given nothing up */
    DEPTH,                   /* no slot of this connection */
    LOAD_DEPTH_MAX,          /* a request after it */
    UINT32_MAX << 10,        /* one before it */
    (uint32_t)INT32_MAX + 1, /* none at all */
};

START_TEST(what_was_never_asked_is_not_late)
{
    ck_assert_int_eq(take_reply(give_up_one() + garbage[_i]), NB_ERR_FRAME);
}
END_TEST

START_TEST(late_slots_are_those_of_the_connection)
{
    struct load_slot *slots[2];
    for (int i = 0; i < 2; i++) {
        slots[i] = load_conn_queue(&conn, FRAME_METHOD_pool, 2, 1, 1);
    }
    ck_assert_int_eq(load_conn_flush(&conn, 1), 0);
    for (int i = 0; i < 2; i++) {
        load_conn_give_up(&conn, slots[i]);
    }
    ck_assert_ptr_eq(slots[1], &conn.slots[1]);
    conn.depth = 1;
    ck_assert_int_eq(take_reply(slots[0]->id), 0);
    ck_assert_int_eq(take_reply(slots[1]->id), NB_ERR_FRAME);
}
END_TEST

START_TEST(what_is_not_sent_yet_has_no_reply)
{
    give_up_one();
    uint32_t id = load_conn_queue(&conn, FRAME_METHOD_pool, 2, 1, 1)->id;
    ck_assert_int_eq(take_reply(id), NB_ERR_FRAME);
}
END_TEST

START_TEST(one_given_up_before_it_is_sent_may_be_late)
{
    static uint8_t frame[FRAME_HEADER_BYTES + 20000];
    struct load_slot *slots[N_LARGE];
    fill_socket(slots);
    struct load_slot *last = slots[N_LARGE - 1];
    ck_assert_uint_eq(last->sent, 0);
    load_conn_give_up(&conn, last);
    ck_assert_int_eq(last->state, SLOT_GIVEN_UP);
    ck_assert_int_eq(take_reply(last->id), NB_ERR_FRAME);
    for (size_t i = 0; i < N_LARGE; i++) {
        receive(frame, sizeof(frame));
    }
    ck_assert_int_eq(last->state, SLOT_FREE);
    ck_assert_int_eq(take_reply(last->id), 0);
    ck_assert_int_eq(take_reply(last->id), NB_ERR_FRAME);
}
END_TEST

START_TEST(a_new_connection_owes_no_late_reply)
{
    uint32_t id = give_up_one();
    load_conn_drop(&conn, 0);
    close(peer);
    ck_assert_int_eq(load_conn_redial(&conn, 1), 0);
    peer = accept(listener, NULL, NULL);
    ck_assert_int_eq(load_conn_dialled(&conn), 0);
    ck_assert_int_eq(take_reply(id), NB_ERR_FRAME);
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
    tcase = tcase_create("unsent");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_waits_for_room_is_held);
    tcase_add_test(tcase, one_given_up_before_it_is_sent_may_be_late);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("late");
    tcase_add_checked_fixture(tcase, setup_shallow, teardown);
    tcase_add_test(tcase, a_late_reply_is_left_out_once);
    tcase_add_test(tcase, each_request_given_up_may_be_late);
    tcase_add_loop_test(tcase, what_was_never_asked_is_not_late, 0,
                        (int)(sizeof(garbage) / sizeof(garbage[0])));
    tcase_add_test(tcase, late_slots_are_those_of_the_connection);
    tcase_add_test(tcase, what_is_not_sent_yet_has_no_reply);
    tcase_add_test(tcase, a_new_connection_owes_no_late_reply);
    suite_add_tcase(suite, tcase);
    return suite;
}
