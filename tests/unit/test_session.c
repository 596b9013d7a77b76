/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A connection without its socket, in whatever pieces its bytes come. */
#include "server/request/session.h"

#include <stdlib.h>
#include <string.h>

#include "proto/rpc_code.h"
#include "server/request/turns.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/service_fixture.h"

enum {
    ROOM = 1 << 20
};

static struct session session;
static uint8_t sent[ROOM]; /* what the peer has got */
static size_t n_sent;

static void open_with(const char *flags)
{
    fixture_open(flags);
    session_init(&session, &fixture_service);
    n_sent = 0;
}

static void teardown(void)
{
    session_fini(&session);
    fixture_close();
}

/* The peer takes at most `most` bytes. */
static void send_some(size_t most)
{
    while (session.out.bytes != 0 && most > 0) {
        struct iovec vector;
        ck_assert_uint_eq(outq_gather(&session.out, &vector, 1), 1);
        size_t n = vector.iov_len < most ? vector.iov_len : most;
        ck_assert_uint_le(n, ROOM - n_sent);
        memcpy(sent + n_sent, vector.iov_base, n);
        outq_consume(&session.out, n);
        n_sent += n;
        most -= n;
    }
}

/* Gives the session `n` bytes at once, or less where its window is less. */
static size_t feed(const uint8_t *bytes, size_t n)
{
    void *window;
    size_t room;
    ck_assert_int_eq(session_window(&session, &window, &room), 0);
    ck_assert_uint_gt(room, 0);
    n = n < room ? n : room;
    memcpy(window, bytes, n);
    session_received(&session, n, fixture_now_ns);
    return n;
}

static void feed_all(const uint8_t *bytes, size_t n)
{
    while (n > 0 && session_wants_input(&session)) {
        size_t fed = feed(bytes, n);
        bytes += fed;
        n -= fed;
    }
}

/* A lookup of n ids of table a, as ids32. */
static size_t lookup_body(uint8_t *to, uint32_t n)
{
    uint8_t feature[8 + 4 * 1000] = {0x0a, 1, 'a', 0x1a};
    ck_assert_uint_lt(n, 1000);
    uint8_t *at = feature + 4;
    uint32_t bytes = 4 * n;
    while (bytes >= 0x80) {
        *at++ = (uint8_t)(bytes | 0x80);
        bytes >>= 7;
    }
    *at++ = (uint8_t)bytes;
    memset(at, 0, (size_t)4 * n);
    uint32_t length = (uint32_t)(at - feature) + 4 * n;
    uint8_t *out = to;
    *out++ = 0x2a;
    *out++ = (uint8_t)(length | 0x80);
    *out++ = (uint8_t)(length >> 7);
    memcpy(out, feature, length);
    return (size_t)(out - to) + length;
}

/* Requests of every kind, ids 0, 1, ...; returns their bytes. */
static size_t mixed_requests(uint8_t *to, uint32_t n)
{
    static uint8_t body[8192];
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        size_t bytes = lookup_body(body, 40 + i * 37 % 900);
        switch (i % 5) {
        case 0:
            at = fixture_put_request(to, at, FRAME_METHOD_ping, i, NULL, 0);
            break;
        case 1:
            at = fixture_put_request(to, at, 77, i, body, bytes);
            break;
        case 2: /* over the method's own limit */
            at = fixture_put_request(to, at, FRAME_METHOD_ping, i, body, bytes);
            break;
        case 3:
            at = fixture_put_request(to, at, FRAME_METHOD_lookup, i, body,
                                     bytes - 1); /* malformed */
            break;
        default:
            at = fixture_put_request(to, at, FRAME_METHOD_lookup, i, body,
                                     bytes);
        }
    }
    return at;
}

static void expect_ids(uint32_t n)
{
    const uint8_t *at = sent;
    struct fixture_frame frame;
    for (uint32_t i = 0; i < n; i++) {
        ck_assert(fixture_next_frame(&at, sent + n_sent, &frame));
        ck_assert_uint_eq(frame.header.request_id, i);
    }
    ck_assert_ptr_eq(at, sent + n_sent);
}

START_TEST(any_chunks_give_the_same_answers)
{
    static uint8_t input[ROOM];
    static uint8_t first[ROOM];
    open_with("--max-in-flight 7 --write-high 3000 --write-low 500");
    size_t bytes = mixed_requests(input, 60);
    size_t n_first = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct rng rng = {seed};
        session_fini(&session);
        session_init(&session, &fixture_service);
        n_sent = 0;
        size_t at = 0;
        uint64_t most = 1 + rng_below(&rng, 20000);
        while (at < bytes || session.out.bytes != 0) {
            if (at < bytes && session_wants_input(&session)) {
                size_t n = seed == 0 ? bytes : 1 + rng_below(&rng, most);
                at += feed(input + at, n < bytes - at ? n : bytes - at);
            }
            send_some(1 + rng_below(&rng, 5000));
            session_resume(&session);
        }
        expect_ids(60);
        if (seed == 0) {
            memcpy(first, sent, n_sent);
            n_first = n_sent;
        }
        ck_assert_uint_eq(n_sent, n_first);
        ck_assert_mem_eq(sent, first, n_first);
        ck_assert(session_is_idle(&session));
    }
    teardown();
}
END_TEST

START_TEST(too_much_unsent_holds_frames_back)
{
    static uint8_t input[ROOM];
    open_with("--max-in-flight 4 --write-high 100000 --write-low 0");
    size_t bytes = 0;
    for (uint32_t i = 0; i < 10; i++) {
        bytes =
            fixture_put_request(input, bytes, FRAME_METHOD_ping, i, NULL, 0);
    }
    feed_all(input, bytes);
    ck_assert_uint_eq(session.out.n_replies, 4);
    ck_assert(!session_wants_input(&session));
    ck_assert(!session_resume(&session)); /* nothing was sent */
    size_t rounds = 0;
    while (session.out.bytes != 0) {
        send_some(SIZE_MAX);
        session_resume(&session);
        rounds++;
    }
    ck_assert_uint_eq(rounds, 3);
    ck_assert(session_wants_input(&session));
    expect_ids(10);
    teardown();
}
END_TEST

START_TEST(input_kept_grows_with_what_comes)
{
    static uint8_t input[ROOM];
    open_with("");
    struct frame_header header = {.method = FRAME_METHOD_lookup,
                                  .body_bytes = 10u << 20};
    frame_header_put(input, &header);
    feed_all(input, 16);
    ck_assert_ptr_nonnull(session.in);
    ck_assert_uint_lt(session.in->capacity, 8192);
    size_t came = 16;
    while (came < 600000) {
        came += feed(input + came, 30000);
        ck_assert_uint_lt(session.in->capacity, 4 * came + 80000);
    }
    ck_assert_uint_eq(session_missing(&session),
                      16 + (10u << 20) - session.in->end);
    teardown();
}
END_TEST

/* The only frame sent must be an error. */
static void expect_error(uint32_t code, uint32_t request_id)
{
    const uint8_t *at = sent;
    struct fixture_frame frame;
    send_some(SIZE_MAX);
    ck_assert(fixture_next_frame(&at, sent + n_sent, &frame));
    ck_assert_uint_eq(frame.header.kind, FRAME_ERROR);
    ck_assert_uint_eq(frame.header.request_id, request_id);
    ck_assert_uint_eq(frame.body[0], 0x08); /* Error.code */
    ck_assert_uint_eq(frame.body[1], code);
    ck_assert_ptr_eq(at, sent + n_sent);
}

START_TEST(broken_framing_ends_the_session)
{
    open_with("");
    feed_all((const uint8_t *)"GET / HTTP/1.0\r\n\r\n", 18);
    ck_assert(session.ended);
    ck_assert(!session_wants_input(&session));
    expect_error(RPC_INVALID_ARGUMENT, 0);
    uint8_t ping[16];
    fixture_put_request(ping, 0, FRAME_METHOD_ping, 1, NULL, 0);
    session_received(&session, 16, 0); /* nothing more is taken */
    ck_assert_uint_eq(session.out.bytes, 0);
    ck_assert_uint_eq(fixture_service.counters->bad_frames, 1);
    teardown();
}
END_TEST

START_TEST(refused_bodies_are_dropped)
{
    static uint8_t input[ROOM];
    open_with("--max-frame-bytes 64");
    const uint8_t body[65] = {0};
    size_t bytes =
        fixture_put_request(input, 0, FRAME_METHOD_lookup, 8, body, 65);
    feed_all(input, 16);
    expect_error(RPC_RESOURCE_EXHAUSTED, 8);
    ck_assert_uint_eq(session_missing(&session), 65);
    ck_assert(!session_is_idle(&session));
    n_sent = 0;
    fixture_put_request(input, bytes, FRAME_METHOD_ping, 0, NULL, 0);
    for (size_t i = 16; i < bytes + 16; i++) {
        feed_all(input + i, 1);
    }
    send_some(SIZE_MAX);
    expect_ids(1);
    ck_assert(session_is_idle(&session));
    teardown();
}
END_TEST

START_TEST(a_frame_without_memory_is_refused)
{
    static uint8_t input[ROOM];
    static uint8_t body[900000];
    open_with("--max-memory 1MiB");
    size_t n = fixture_put_request(input, 0, FRAME_METHOD_lookup, 8, body,
                                   sizeof(body));
    fixture_put_request(input, n, FRAME_METHOD_ping, 0, NULL, 0);
    size_t at = 0;
    while (session.out.bytes == 0) {
        at += feed(input + at, 10000);
        ck_assert_uint_lt(at, n);
        size_t room; /* asking for it is what finds no memory */
        void *window;
        ck_assert_int_eq(session_window(&session, &window, &room), 0);
    }
    expect_error(RPC_RESOURCE_EXHAUSTED, 8);
    ck_assert_ptr_nonnull(memmem(sent, n_sent, "--max-memory", 12));
    ck_assert_ptr_null(session.in);
    ck_assert_uint_eq(session_missing(&session), n - at);
    n_sent = 0;
    feed_all(input + at, n + 16 - at);
    send_some(SIZE_MAX);
    expect_ids(1);
    teardown();
}
END_TEST

/* The first bytes are more than there is memory for. */
START_TEST(a_first_read_without_memory_is_refused)
{
    static uint8_t input[ROOM];
    static uint8_t body[300000];
    open_with("--max-memory 1MiB");
    struct buf *hog = buf_take(&fixture_service.pool, 500000);
    struct buf *rest = buf_take(&fixture_service.pool, 200000);
    ck_assert(hog != NULL && rest != NULL);
    fixture_put_request(input, 0, FRAME_METHOD_lookup, 8, body, sizeof(body));
    ck_assert_uint_eq(feed(input, 200000), 200000);
    expect_error(RPC_RESOURCE_EXHAUSTED, 8);
    ck_assert_uint_eq(session_missing(&session), 100016);
    buf_give(&fixture_service.pool, hog);
    buf_give(&fixture_service.pool, rest);
    teardown();
}
END_TEST

static const struct {
    size_t bytes;      /* of a frame of 16 + 40 */
    uint64_t limit_ms; /* that applies */
    uint32_t request_id;
} halves[] = {{1, 100, 0}, {15, 100, 0}, {16, 700, 9}, {55, 700, 9}};

START_TEST(half_a_frame_then_silence)
{
    uint8_t input[56] = {0};
    uint8_t body[40] = {0};
    open_with("--header-timeout 0.1 --request-timeout 0.7");
    fixture_put_request(input, 0, FRAME_METHOD_lookup, 9, body, 40);
    feed_all(input, halves[_i].bytes);
    fixture_now_ns += halves[_i].limit_ms * 1000000 - 1;
    session_check_time(&session, fixture_now_ns);
    ck_assert(!session.ended);
    session_check_time(&session, fixture_now_ns + 1);
    ck_assert(session.ended);
    expect_error(RPC_DEADLINE_EXCEEDED, halves[_i].request_id);
    teardown();
}
END_TEST

START_TEST(slow_frames_one_after_another_are_in_time)
{
    uint8_t input[16];
    open_with("--header-timeout 0.1");
    fixture_put_request(input, 0, FRAME_METHOD_ping, 0, NULL, 0);
    for (int i = 0; i < 10; i++) {
        feed_all(input, 7);
        fixture_now_ns += 90000000;
        session_check_time(&session, fixture_now_ns);
        feed_all(input + 7, 9);
        session_check_time(&session, fixture_now_ns + 500000000);
        ck_assert(!session.ended);
    }
    teardown();
}
END_TEST

START_TEST(dropping_a_body_bytewise_takes_too_long)
{
    static uint8_t input[1000];
    open_with("--max-frame-bytes 64 --request-timeout 0.1");
    const uint8_t body[900] = {0};
    fixture_put_request(input, 0, FRAME_METHOD_lookup, 9, body, 900);
    feed_all(input, 16);
    expect_error(RPC_RESOURCE_EXHAUSTED, 9);
    n_sent = 0;
    for (size_t i = 0; i < 200 && !session.ended; i++) {
        feed_all(input + 16 + i, 1);
        fixture_now_ns += 1000000;
        session_check_time(&session, fixture_now_ns);
    }
    ck_assert(session.ended);
    ck_assert_str_eq(session.why.text,
                     "frame: body not whole after 100 ms, 100 bytes came");
    expect_error(RPC_DEADLINE_EXCEEDED, 9);
    teardown();
}
END_TEST

/* Nothing of the body has come: it is the body that is late, not a header. */
START_TEST(a_body_to_drop_never_comes)
{
    static uint8_t input[1000];
    open_with("--max-frame-bytes 64 --header-timeout 0.1 "
              "--request-timeout 0.7");
    const uint8_t body[900] = {0};
    fixture_put_request(input, 0, FRAME_METHOD_lookup, 9, body, 900);
    feed_all(input, 16);
    send_some(SIZE_MAX);
    n_sent = 0;
    session_check_time(&session, fixture_now_ns + 699999999);
    ck_assert(!session.ended);
    session_check_time(&session, fixture_now_ns + 700000000);
    ck_assert_str_eq(session.why.text,
                     "frame: body not whole after 700 ms, 0 bytes came");
    expect_error(RPC_DEADLINE_EXCEEDED, 9);
    teardown();
}
END_TEST

/* Replies of some 24 KiB, two to a buffer: held back until half are sent. */
START_TEST(frames_go_on_when_half_the_replies_are_sent)
{
    static uint8_t input[ROOM];
    static uint8_t body[8192];
    open_with("--max-in-flight 8 --write-high 1GiB --write-low 1GiB");
    size_t bytes = lookup_body(body, 999);
    size_t n = 0;
    for (uint32_t i = 0; i < 12; i++) {
        n = fixture_put_request(input, n, FRAME_METHOD_lookup, i, body, bytes);
    }
    feed_all(input, n);
    ck_assert_uint_eq(session.out.n_replies, 8);
    while (session.out.n_replies > 4) {
        ck_assert(!session_resume(&session));
        ck_assert(!session_wants_input(&session));
        send_some(24000);
    }
    ck_assert_uint_eq(session.out.n_replies, 4);
    ck_assert(session_resume(&session));
    ck_assert_uint_eq(session.out.n_replies, 8);
    teardown();
}
END_TEST

START_TEST(frames_held_back_age)
{
    static uint8_t input[ROOM];
    uint8_t body[8192] = {0x18, 50}; /* timeout_ms */
    open_with("--max-in-flight 1");
    size_t bytes = 2 + lookup_body(body + 2, 100);
    size_t n =
        fixture_put_request(input, 0, FRAME_METHOD_lookup, 0, body, bytes);
    n = fixture_put_request(input, n, FRAME_METHOD_lookup, 1, body, bytes);
    /* And a frame begun, which must not count as late when it is let go on. */
    n = fixture_put_request(input, n, FRAME_METHOD_ping, 2, NULL, 0);
    feed_all(input, n - 3);
    ck_assert_uint_eq(session.out.n_replies, 1);
    fixture_now_ns += 60000000000;
    session_check_time(&session, fixture_now_ns);
    ck_assert(!session.ended);
    send_some(SIZE_MAX);
    n_sent = 0;
    ck_assert(session_resume(&session));
    expect_error(RPC_DEADLINE_EXCEEDED, 1);
    session_resume(&session);
    session_check_time(&session, fixture_now_ns);
    ck_assert(!session.ended);
    teardown();
}
END_TEST

/* Those that came together are answered together. */
START_TEST(latency_is_counted_from_arrival)
{
    uint8_t frames[48];
    struct totals totals;
    open_with("");
    size_t n = 0;
    for (uint32_t id = 0; id < 3; id++) {
        n = fixture_put_request(frames, n, FRAME_METHOD_ping, id, NULL, 0);
    }
    feed_all(frames, 40);
    fixture_now_ns += 5000; /* as if it took so long to read the rest */
    void *window;
    size_t room;
    ck_assert_int_eq(session_window(&session, &window, &room), 0);
    memcpy(window, frames + 40, 8);
    session_received(&session, 8, fixture_now_ns - 1500);
    counters_sum(fixture_service.counters, 1, &totals);
    const struct duration_totals *latency =
        &totals.methods[METHOD_ping].latency;
    ck_assert_uint_eq(latency->counts[0], 2); /* up to 1 us */
    ck_assert_uint_eq(latency->counts[2], 1); /* 1.2 to 1.5 us */
    ck_assert_uint_eq(latency->sum_ns, 1500);
    ck_assert_uint_eq(totals.methods[METHOD_ping].codes[0], 3);
}
END_TEST

enum {
    LARGE = 70000
};

/* A large request, whole, that is answered with an error. */
static void feed_large(struct session *to)
{
    static uint8_t frame[FRAME_HEADER_BYTES + LARGE];
    static const uint8_t zeros[LARGE];
    void *window;
    size_t room;
    size_t n =
        fixture_put_request(frame, 0, FRAME_METHOD_lookup, 9, zeros, LARGE);
    ck_assert_int_eq(session_window(to, &window, &room), 0);
    ck_assert_uint_ge(room, n);
    memcpy(window, frame, n);
    session_received(to, n, fixture_now_ns);
}

START_TEST(large_requests_take_turns)
{
    struct session second;
    struct session third;
    uint8_t ping[FRAME_HEADER_BYTES];
    open_with("");
    fixture_service.takes_turns = true;
    session_init(&second, &fixture_service);
    session_init(&third, &fixture_service);
    service_turn_ns(&fixture_service);
    feed_large(&session);
    ck_assert_uint_eq(session.out.n_replies, 1);
    feed_large(&second);
    feed_large(&third);
    ck_assert_uint_eq(second.out.n_replies, 0);
    ck_assert(!session_wants_input(&second));
    ck_assert(!session_is_idle(&second));
    /* A small one is answered meanwhile. */
    fixture_put_request(ping, 0, FRAME_METHOD_ping, 1, NULL, 0);
    feed_all(ping, sizeof(ping));
    ck_assert_uint_eq(session.out.n_replies, 2);
    service_end_turn(&fixture_service);
    ck_assert_ptr_eq(turns_next_waiting(&fixture_service), &second);
    session_stop_waiting(&second, true);
    ck_assert_uint_eq(second.out.n_replies, 1);
    ck_assert(session_wants_input(&second));
    /* That was the one of this turn. */
    feed_large(&session);
    ck_assert_uint_eq(session.out.n_replies, 2);
    ck_assert_ptr_eq(turns_next_waiting(&fixture_service), &third);
    session_fini(&third); /* its peer is gone */
    ck_assert_ptr_eq(turns_next_waiting(&fixture_service), &session);
    service_end_turn(&fixture_service);
    session_stop_waiting(&session, true);
    ck_assert_uint_eq(session.out.n_replies, 3);
    ck_assert_ptr_null(turns_next_waiting(&fixture_service));
    session_fini(&second);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("session");
    TCase *tcase = tcase_create("session");
    tcase_add_test(tcase, latency_is_counted_from_arrival);
    tcase_add_test(tcase, any_chunks_give_the_same_answers);
    tcase_add_test(tcase, too_much_unsent_holds_frames_back);
    tcase_add_test(tcase, input_kept_grows_with_what_comes);
    tcase_add_test(tcase, broken_framing_ends_the_session);
    tcase_add_test(tcase, refused_bodies_are_dropped);
    tcase_add_test(tcase, a_frame_without_memory_is_refused);
    tcase_add_test(tcase, a_first_read_without_memory_is_refused);
    tcase_add_loop_test(tcase, half_a_frame_then_silence, 0,
                        sizeof(halves) / sizeof(halves[0]));
    tcase_add_test(tcase, slow_frames_one_after_another_are_in_time);
    tcase_add_test(tcase, dropping_a_body_bytewise_takes_too_long);
    tcase_add_test(tcase, a_body_to_drop_never_comes);
    tcase_add_test(tcase, frames_go_on_when_half_the_replies_are_sent);
    tcase_add_test(tcase, frames_held_back_age);
    tcase_add_test(tcase, large_requests_take_turns);
    suite_add_tcase(suite, tcase);
    return suite;
}
