/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Large requests, answered a piece a turn: what happens in between. */
#include "server/request/plans.h"
#include "server/request/session.h"

#include <string.h>

#include "proto/nibble.pb-c.h"
#include "proto/rpc_code.h"
#include "server/request/turns.h"
#include "server/request/work.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/service_fixture.h"

enum {
    ROOM = 2 << 20,
    IDS = 30000,
    BAGS = 600,
    FEW_BAGS = 12
};

static struct session session;
static struct session other;
static uint8_t sent[ROOM]; /* what the peer of `session` has got */
static size_t n_sent;
static uint8_t input[ROOM];

/* Every look at the clock takes a while, so that pieces have an end. */
static uint64_t ticking_clock(void)
{
    return fixture_now_ns += WORK_PIECE_NS / 2;
}

static void open_with(const char *flags, bool takes_turns)
{
    fixture_open(flags);
    fixture_service.takes_turns = takes_turns;
    fixture_service.now_ns = ticking_clock;
    session_init(&session, &fixture_service);
    session_init(&other, &fixture_service);
    service_turn_ns(&fixture_service);
    n_sent = 0;
}

static void close_all(void)
{
    session_fini(&session);
    session_fini(&other);
    ck_assert_ptr_null(fixture_service.in_pieces);
    ck_assert_uint_eq(fixture_service.arenas[0].used, 0);
    ck_assert_uint_eq(fixture_service.arenas[1].used, 0);
    fixture_close();
}

static void setup(void)
{
    open_with("", true);
}

static void feed(struct session *to, const uint8_t *bytes, size_t n)
{
    while (n > 0 && session_wants_input(to)) {
        void *window;
        size_t room;
        ck_assert_int_eq(session_window(to, &window, &room), 0);
        size_t part = n < room ? n : room;
        memcpy(window, bytes, part);
        session_received(to, part, fixture_now_ns);
        bytes += part;
        n -= part;
    }
}

static void feed_ping(struct session *to, uint32_t id)
{
    uint8_t frame[FRAME_HEADER_BYTES];
    fixture_put_request(frame, 0, FRAME_METHOD_ping, id, NULL, 0);
    feed(to, frame, sizeof(frame));
}

static void send_all(void)
{
    struct iovec vector;
    while (outq_gather(&session.out, &vector, 1) == 1) {
        ck_assert_uint_le(vector.iov_len, ROOM - n_sent);
        memcpy(sent + n_sent, vector.iov_base, vector.iov_len);
        n_sent += vector.iov_len;
        session_sent(&session, vector.iov_len);
    }
}

static void next_turn(void)
{
    service_end_turn(&fixture_service);
    service_turn_ns(&fixture_service);
    ck_assert_ptr_eq(turns_next_piece(&fixture_service), &session);
    session_continue(&session, true);
}

/* Returns how many turns that took. */
static unsigned finish(void)
{
    unsigned n = 0;
    while (turns_in_pieces(&session)) {
        next_turn();
        ck_assert_uint_lt(++n, 1000);
    }
    return n;
}

static size_t put_message(size_t at, uint16_t method, uint32_t id,
                          const ProtobufCMessage *message)
{
    static uint8_t body[ROOM];
    ck_assert_uint_le(protobuf_c_message_get_packed_size(message), ROOM / 2);
    size_t n = protobuf_c_message_pack(message, body);
    return fixture_put_request(input, at, method, id, body, n);
}

static uint32_t ids32[IDS];
static uint64_t ids64[IDS];
static float weights[IDS];

/* Some ids are unseen. */
static void fill_ids(void)
{
    for (uint32_t i = 0; i < IDS; i++) {
        ids32[i] = i * 7 % (FIXTURE_ROWS + 2);
        ids64[i] = ids32[i];
        weights[i] = (float)(i % 9) / 8;
    }
}

static size_t put_lookup(size_t at, uint32_t id, uint32_t n_ids,
                         uint32_t timeout_ms)
{
    Nibble__V1__LookupFeature features[2] = {NIBBLE__V1__LOOKUP_FEATURE__INIT,
                                             NIBBLE__V1__LOOKUP_FEATURE__INIT};
    Nibble__V1__LookupFeature *list[] = {&features[0], &features[1]};
    Nibble__V1__LookupRequest request = NIBBLE__V1__LOOKUP_REQUEST__INIT;
    fill_ids();
    features[0].table = "b";
    features[0].n_ids32 = n_ids;
    features[0].ids32 = ids32;
    features[1].table = "a";
    features[1].n_ids = n_ids / 2;
    features[1].ids = ids64;
    request.n_features = 2;
    request.features = list;
    request.timeout_ms = timeout_ms;
    return put_message(at, FRAME_METHOD_lookup, id, &request.base);
}

/* Bags of all lengths, some empty, or few of many ids, or one of all. */
static size_t put_pool(size_t at, uint32_t id, uint32_t n_bags,
                       uint32_t timeout_ms)
{
    static uint32_t lengths[BAGS];
    Nibble__V1__PoolFeature features[2] = {NIBBLE__V1__POOL_FEATURE__INIT,
                                           NIBBLE__V1__POOL_FEATURE__INIT};
    Nibble__V1__PoolFeature *list[] = {&features[0], &features[1]};
    Nibble__V1__PoolRequest request = NIBBLE__V1__POOL_REQUEST__INIT;
    uint32_t left = IDS;
    fill_ids();
    for (uint32_t i = 0; i + 1 < n_bags; i++) {
        lengths[i] = i % 10 == 3 ? 0 : IDS / n_bags - 20 + i % 40;
        left -= lengths[i];
    }
    lengths[n_bags - 1] = left;
    for (int i = 0; i < 2; i++) {
        features[i].table = i == 0 ? "a" : "b";
        features[i].n_lengths = n_bags;
        features[i].lengths = lengths;
    }
    features[0].n_ids = IDS;
    features[0].ids = ids64;
    features[0].n_weights = IDS;
    features[0].weights = weights;
    features[1].n_ids32 = IDS;
    features[1].ids32 = ids32;
    features[1].pooling = NIBBLE__V1__POOLING__MEAN;
    request.n_features = 2;
    request.features = list;
    request.timeout_ms = timeout_ms;
    return put_message(at, FRAME_METHOD_pool, id, &request.base);
}

static size_t put_kind(int kind, uint32_t id)
{
    return kind == 0   ? put_lookup(0, id, IDS, 0)
           : kind == 1 ? put_pool(0, id, BAGS, 0)
           : kind == 2 ? put_pool(0, id, FEW_BAGS, 0)
                       : put_pool(0, id, 1, 0);
}

static void expect_frame(const uint8_t **at, uint8_t kind, uint32_t id)
{
    struct fixture_frame frame;
    ck_assert(fixture_next_frame(at, sent + n_sent, &frame));
    ck_assert_uint_eq(frame.header.kind, kind);
    ck_assert_uint_eq(frame.header.request_id, id);
}

/* Frames before it, which may be in its buffer, are sent in the middle. */
START_TEST(pieces_give_the_same_bytes)
{
    static uint8_t whole[ROOM];
    open_with("", false);
    size_t n = put_kind(_i, 8);
    feed_ping(&session, 7);
    feed(&session, input, n);
    ck_assert(!turns_in_pieces(&session));
    send_all();
    size_t n_whole = n_sent;
    memcpy(whole, sent, n_whole);
    close_all();
    ck_assert_uint_gt(n_whole, 2 * FRAME_HEADER_BYTES + 80);

    open_with("", true);
    feed_ping(&session, 7);
    feed(&session, input, n);
    ck_assert(turns_in_pieces(&session));
    ck_assert_uint_eq(session.out.n_replies, 1);
    next_turn();
    ck_assert(turns_in_pieces(&session));
    send_all();
    ck_assert_uint_eq(session.out.n_replies, 0);
    ck_assert_uint_lt(n_sent, 100);
    finish();
    ck_assert_uint_eq(session.out.n_replies, 1);
    send_all();
    ck_assert_uint_eq(n_sent, n_whole);
    ck_assert_mem_eq(sent, whole, n_whole);
    struct totals totals;
    counters_sum(fixture_service.counters, 1, &totals);
    size_t method = _i == 0 ? METHOD_lookup : METHOD_pool;
    ck_assert_uint_eq(totals.methods[method].requests, 1);
    ck_assert_uint_eq(totals.methods[method].codes[0], 1);
    ck_assert_uint_eq(totals.unsent_bytes, 0);
    close_all();
}
END_TEST

/* Its plan is kept after the second, and begins as if it were new. */
START_TEST(a_long_bag_comes_again)
{
    setup();
    size_t n = put_pool(0, 1, 1, 0);
    for (int i = 0; i < 4; i++) {
        feed(&session, input, n);
        ck_assert_uint_gt(finish(), 5);
        service_end_turn(&fixture_service);
    }
    uint32_t timeout_ms;
    struct call call = {.method = FRAME_METHOD_pool,
                        .arena = fixture_service.arena};
    ck_assert_ptr_nonnull(plans_recall(fixture_service.plans, &call,
                                       input + FRAME_HEADER_BYTES,
                                       n - FRAME_HEADER_BYTES, &timeout_ms));
    arena_reset(call.arena);
    send_all();
    ck_assert_uint_eq(n_sent % 4, 0);
    for (size_t i = 1; i < 4; i++) {
        ck_assert_mem_eq(sent, sent + i * (n_sent / 4), n_sent / 4);
    }
    const uint8_t *at = sent;
    expect_frame(&at, FRAME_REPLY, 1);
    close_all();
}
END_TEST

START_TEST(others_are_answered_in_between)
{
    setup();
    feed(&session, input, put_lookup(0, 1, IDS, 0));
    for (uint32_t i = 0; i < 3; i++) {
        feed_ping(&other, i);
        feed(&other, input, put_lookup(0, i, 50, 0)); /* its own arena */
        ck_assert_uint_eq(other.out.n_replies, 2 * i + 2);
        next_turn();
        ck_assert(turns_in_pieces(&session));
    }
    finish();
    ck_assert_uint_eq(session.out.n_replies, 1);
    close_all();
}
END_TEST

/* Large by its body, or by what it turns out to ask for. */
START_TEST(other_large_ones_wait)
{
    setup();
    feed(&session, input, put_lookup(0, 1, IDS, 0));
    size_t n = put_lookup(0, 2, _i == 0 ? IDS : 8000, 0);
    ck_assert(_i == 0 || n < 65536);
    feed(&other, input, n);
    ck_assert(other.waiting);
    ck_assert_uint_eq(other.out.n_replies, 0);
    ck_assert_ptr_null(turns_next_waiting(&fixture_service));
    finish();
    ck_assert_ptr_eq(turns_next_waiting(&fixture_service), &other);
    session_stop_waiting(&other, true);
    ck_assert(turns_in_pieces(&other));
    while (turns_in_pieces(&other)) {
        session_continue(&other, true);
    }
    ck_assert_uint_eq(other.out.n_replies, 1);
    struct totals totals;
    counters_sum(fixture_service.counters, 1, &totals);
    ck_assert_uint_eq(totals.methods[METHOD_lookup].requests, 2);
    close_all();
}
END_TEST

START_TEST(frames_behind_wait)
{
    setup();
    size_t n = put_lookup(0, 1, IDS, 0);
    n = fixture_put_request(input, n, FRAME_METHOD_ping, 2, NULL, 0);
    n = put_lookup(n, 3, IDS, 0);
    feed(&session, input, n);
    ck_assert(turns_in_pieces(&session));
    ck_assert(!session_wants_input(&session));
    ck_assert(!session_is_idle(&session));
    ck_assert(session_holds_back(&session));
    fixture_now_ns += 3600000000000;
    session_check_time(&session, fixture_now_ns); /* nothing of it is late */
    ck_assert(!session.ended);
    finish();
    ck_assert_uint_eq(session.out.n_replies, 2);
    ck_assert(session.waiting || session_wants_input(&session));
    send_all();
    const uint8_t *at = sent;
    expect_frame(&at, FRAME_REPLY, 1);
    expect_frame(&at, FRAME_REPLY, 2);
    ck_assert_ptr_eq(at, sent + n_sent);
    close_all();
}
END_TEST

/* In the middle of a bag, too. */
START_TEST(the_deadline_holds_between_pieces)
{
    setup();
    size_t n = _i == 0 ? put_lookup(0, 1, IDS, 1000) : put_pool(0, 1, 1, 1000);
    feed(&session, input, n);
    ck_assert(turns_in_pieces(&session));
    next_turn();
    ck_assert(turns_in_pieces(&session));
    fixture_now_ns += 1000000000;
    next_turn();
    ck_assert(!turns_in_pieces(&session));
    feed_ping(&session, 2);
    send_all();
    const uint8_t *at = sent;
    expect_frame(&at, FRAME_ERROR, 1);
    expect_frame(&at, FRAME_REPLY, 2);
    ck_assert_ptr_eq(at, sent + n_sent);
    struct totals totals;
    counters_sum(fixture_service.counters, 1, &totals);
    size_t method = _i == 0 ? METHOD_lookup : METHOD_pool;
    ck_assert_uint_eq(totals.methods[method].codes[RPC_DEADLINE_EXCEEDED], 1);
    close_all();
}
END_TEST

START_TEST(a_peer_that_goes_makes_way)
{
    setup();
    feed(&session, input, put_lookup(0, 1, IDS, 0));
    feed(&other, input, put_lookup(0, 2, IDS, 0));
    next_turn();
    if (_i == 0) {
        session_fini(&session);
        session_init(&session, &fixture_service);
    } else { /* it is being closed */
        session_continue(&session, false);
    }
    ck_assert_ptr_null(turns_next_piece(&fixture_service));
    ck_assert_ptr_eq(turns_next_waiting(&fixture_service), &other);
    service_end_turn(&fixture_service);
    session_stop_waiting(&other, true);
    ck_assert(turns_in_pieces(&other));
    close_all();
}
END_TEST

/* The version that it began with answers it, though nothing is served now. */
START_TEST(a_switch_leaves_it_its_tables)
{
    struct catalog *empty;
    setup();
    ck_assert_int_eq(catalog_create(&empty), 0);
    feed(&session, input, put_pool(0, 1, BAGS, 0));
    next_turn();
    service_switch(&fixture_service, empty);
    feed(&other, input, put_lookup(0, 2, 3, 0));
    finish();
    send_all();
    const uint8_t *at = sent;
    expect_frame(&at, FRAME_REPLY, 1);
    close_all();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("pieces");
    TCase *tcase = tcase_create("pieces");
    tcase_add_loop_test(tcase, pieces_give_the_same_bytes, 0, 4);
    tcase_add_test(tcase, a_long_bag_comes_again);
    tcase_add_test(tcase, others_are_answered_in_between);
    tcase_add_loop_test(tcase, other_large_ones_wait, 0, 2);
    tcase_add_test(tcase, frames_behind_wait);
    tcase_add_loop_test(tcase, the_deadline_holds_between_pieces, 0, 2);
    tcase_add_loop_test(tcase, a_peer_that_goes_makes_way, 0, 2);
    tcase_add_test(tcase, a_switch_leaves_it_its_tables);
    suite_add_tcase(suite, tcase);
    return suite;
}
