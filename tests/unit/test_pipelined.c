/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Requests that come together. Deadlines: the clock is looked at now and then,
 * and always where time has passed. Rows: what comes next is looked at ahead,
 * but nothing beyond what has come. */
#include <string.h>

#include "server/request/session.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/service_fixture.h"

#define LARGE_BYTES (20u * 4096u)

static struct session session;
static uint8_t small[64];
static size_t small_bytes;
static uint8_t large[LARGE_BYTES];
static size_t large_bytes;
static uint8_t frames[4 * LARGE_BYTES];
static uint8_t sent[2 << 20];

static uint8_t *put_number(uint8_t *to, size_t number)
{
    for (; number >= 0x80; number >>= 7) {
        *to++ = (uint8_t)(number | 0x80);
    }
    *to++ = (uint8_t)number;
    return to;
}

static size_t number_bytes(size_t number)
{
    uint8_t bytes[10];
    return (size_t)(put_number(bytes, number) - bytes);
}

/* n times row 0 of table a, as ids32. */
static uint8_t *put_feature(uint8_t *to, size_t n)
{
    static const uint8_t table_and_ids[] = {0x0a, 1, 'a', 0x1a};
    *to++ = 0x2a; /* features */
    to = put_number(to, 4 + number_bytes(4 * n) + 4 * n);
    memcpy(to, table_and_ids, sizeof(table_and_ids));
    to = put_number(to + 4, 4 * n);
    memset(to, 0, 4 * n);
    return to + 4 * n;
}

static uint8_t *put_timeout(uint8_t *to, uint8_t ms)
{
    *to++ = 0x18;
    *to++ = ms;
    return to;
}

static void setup(void)
{
    fixture_open("--max-in-flight 100000");
    session_init(&session, &fixture_service);
    small_bytes = (size_t)(put_timeout(put_feature(small, 3), 15) - small);
    uint8_t *to = large;
    for (int i = 0; i < 20; i++) {
        to = put_feature(to, 1000);
    }
    large_bytes = (size_t)(to - large);
}

static void teardown(void)
{
    session_fini(&session);
    fixture_close();
}

/* All in one read. */
static void receive(size_t n)
{
    void *window;
    size_t room;
    ck_assert_int_eq(session_window(&session, &window, &room), 0);
    ck_assert_uint_ge(room, n);
    memcpy(window, frames, n);
    session_received(&session, n, fixture_now_ns);
}

static size_t take_sent(void)
{
    size_t n = 0;
    while (session.out.bytes != 0) {
        struct iovec vector;
        ck_assert_uint_eq(outq_gather(&session.out, &vector, 1), 1);
        ck_assert_uint_le(vector.iov_len, sizeof(sent) - n);
        memcpy(sent + n, vector.iov_base, vector.iov_len);
        n += vector.iov_len;
        outq_consume(&session.out, vector.iov_len);
    }
    return n;
}

/* Such a request is not decoded from here on. */
static void make_known(const uint8_t *body, size_t bytes)
{
    for (uint32_t id = 0; id < 3; id++) {
        receive(fixture_put_request(frames, 0, FRAME_METHOD_lookup, id, body,
                                    bytes));
        take_sent();
    }
}

/* How many of n answers stand before the first error, behind which are no
 * others. */
static uint32_t count_in_time(uint32_t n)
{
    const uint8_t *at = sent;
    const uint8_t *end = sent + take_sent();
    struct fixture_frame answer;
    uint32_t in_time = n;
    for (uint32_t i = 0; i < n; i++) {
        ck_assert(fixture_next_frame(&at, end, &answer));
        in_time =
            answer.header.kind == FRAME_ERROR && i < in_time ? i : in_time;
        ck_assert(i < in_time || answer.header.kind == FRAME_ERROR);
    }
    ck_assert_ptr_eq(at, end);
    return in_time;
}

static uint64_t slow_clock(void)
{
    return fixture_now_ns += 10000000;
}

/* Many small requests with 15 ms each know the time as of the first; the next
 * look finds that it is 20 ms past. */
START_TEST(a_look_is_of_use_to_many)
{
    size_t n = 0;
    make_known(small, small_bytes);
    for (uint32_t id = 0; id < 200; id++) {
        n = fixture_put_request(frames, n, FRAME_METHOD_lookup, id, small,
                                small_bytes);
    }
    fixture_service.now_ns = slow_clock;
    receive(n);
    uint32_t in_time = count_in_time(200);
    ck_assert_uint_gt(in_time, 50);
    ck_assert_uint_lt(in_time, 150);
}
END_TEST

/* So does one that many without a deadline stand before. */
START_TEST(time_passes_without_deadlines_too)
{
    size_t untimed_bytes = small_bytes - 2;
    make_known(small, small_bytes);
    make_known(small, untimed_bytes);
    size_t n = fixture_put_request(frames, 0, FRAME_METHOD_lookup, 0, small,
                                   small_bytes);
    for (uint32_t id = 1; id < 199; id++) {
        n = fixture_put_request(frames, n, FRAME_METHOD_lookup, id, small,
                                untimed_bytes);
    }
    n = fixture_put_request(frames, n, FRAME_METHOD_lookup, 199, small,
                            small_bytes);
    fixture_service.now_ns = slow_clock;
    receive(n);
    ck_assert_uint_eq(count_in_time(200), 199);
}
END_TEST

/* The clock is looked at behind a large one. */
START_TEST(a_large_request_takes_time)
{
    make_known(small, small_bytes);
    make_known(large, large_bytes);
    size_t n = fixture_put_request(frames, 0, FRAME_METHOD_lookup, 0, small,
                                   small_bytes);
    n = fixture_put_request(frames, n, FRAME_METHOD_lookup, 1, large,
                            large_bytes);
    n = fixture_put_request(frames, n, FRAME_METHOD_lookup, 2, small,
                            small_bytes);
    fixture_service.now_ns = slow_clock;
    receive(n);
    ck_assert_uint_eq(count_in_time(3), 2);
}
END_TEST

/* And once a request has been decoded. */
START_TEST(decoding_takes_time)
{
    uint8_t other[64];
    size_t bytes = (size_t)(put_timeout(put_feature(other, 4), 15) - other);
    make_known(small, small_bytes);
    size_t n = fixture_put_request(frames, 0, FRAME_METHOD_lookup, 0, small,
                                   small_bytes);
    n = fixture_put_request(frames, n, FRAME_METHOD_lookup, 1, other, bytes);
    fixture_service.now_ns = slow_clock;
    receive(n);
    ck_assert_uint_eq(count_in_time(2), 1);
}
END_TEST

/* A frame of a shape that is known ends where the loop's memory does, before it
 * is whole: what is looked at ahead is not there. */
START_TEST(what_has_not_come_is_not_looked_at)
{
    const size_t frame_bytes = FRAME_HEADER_BYTES + small_bytes;
    const size_t room = SERVICE_SCRATCH_BYTES;
    const size_t whole = (room - FRAME_HEADER_BYTES) / frame_bytes;
    make_known(small, small_bytes);
    ck_assert_uint_ge(sizeof(frames), room + frame_bytes);
    size_t n = 0;
    for (uint32_t id = 0; id <= whole; id++) {
        n = fixture_put_request(frames, n, FRAME_METHOD_lookup, id, small,
                                small_bytes);
    }
    receive(room);
    ck_assert_uint_eq(session.out.n_replies, whole);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("pipelined");
    TCase *tcase = tcase_create("pipelined");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_look_is_of_use_to_many);
    tcase_add_test(tcase, time_passes_without_deadlines_too);
    tcase_add_test(tcase, a_large_request_takes_time);
    tcase_add_test(tcase, decoding_takes_time);
    tcase_add_test(tcase, what_has_not_come_is_not_looked_at);
    suite_add_tcase(suite, tcase);
    return suite;
}
