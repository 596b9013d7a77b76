/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* When a load looks at what has waited too long, and what it makes of it. */
#include "client/bench/load_timeouts.h"

#include "tests/lib/run_suite.h"

#define MS         ((uint64_t)1000000)
#define FROM       (1000 * MS)
#define TIMEOUT_MS 400

static struct load_timeouts timeouts;

static void setup(void)
{
    load_timeouts_begin(&timeouts, TIMEOUT_MS, FROM);
}

START_TEST(looks_come_in_turn)
{
    uint64_t now = FROM;
    ck_assert(!load_timeouts_due(&timeouts, now));
    for (int i = 0; i < 5; i++) {
        now += 249 * MS;
        ck_assert(!load_timeouts_due(&timeouts, now));
        now += 50 * MS; /* a little late */
        ck_assert(load_timeouts_due(&timeouts, now));
        ck_assert_uint_eq(timeouts.n_postponed, 0);
    }
    ck_assert_uint_eq(timeouts.held_up_ns, 0);
}
END_TEST

START_TEST(a_client_that_stood_still_reads_first)
{
    uint64_t now = FROM + 950 * MS;
    ck_assert(!load_timeouts_due(&timeouts, now));
    ck_assert_uint_eq(timeouts.n_postponed, 1);
    ck_assert_uint_eq(timeouts.held_up_ns, 700 * MS);
    ck_assert(!load_timeouts_due(&timeouts, now + 50 * MS));
    ck_assert(load_timeouts_due(&timeouts, now + 63 * MS));
    ck_assert_uint_eq(timeouts.n_postponed, 0);
    /* Again, and at once again. */
    now += 2000 * MS;
    ck_assert(!load_timeouts_due(&timeouts, now));
    ck_assert(!load_timeouts_due(&timeouts, now + 500 * MS));
    ck_assert_uint_gt(timeouts.held_up_ns, 2000 * MS);
}
END_TEST

START_TEST(one_that_is_always_late_looks_all_the_same)
{
    int looks = 0;
    for (uint64_t i = 1; i <= 10; i++) {
        looks += load_timeouts_due(&timeouts, FROM + i * 1000 * MS);
    }
    ck_assert_int_eq(looks, 2);
}
END_TEST

START_TEST(requests_wait_from_when_they_were_sent)
{
    struct load_slot slot = {.state = SLOT_WAITING, .due = FROM};
    ck_assert(!load_timeouts_overdue(&timeouts, &slot, FROM - 1));
    ck_assert(!load_timeouts_overdue(&timeouts, &slot, FROM + 400 * MS));
    ck_assert(load_timeouts_overdue(&timeouts, &slot, FROM + 401 * MS));
    slot.sent = FROM + 100 * MS;
    ck_assert(!load_timeouts_overdue(&timeouts, &slot, FROM + 401 * MS));
    ck_assert(load_timeouts_overdue(&timeouts, &slot, FROM + 501 * MS));
    slot.state = SLOT_GIVEN_UP;
    ck_assert(!load_timeouts_overdue(&timeouts, &slot, FROM + 501 * MS));
}
END_TEST

START_TEST(silence_is_of_the_connection)
{
    /* Also where no request of it could be sent yet. */
    struct load_conn conn = {.quiet_since = FROM};
    ck_assert(!load_timeouts_silent(&timeouts, &conn, FROM + 400 * MS));
    ck_assert(load_timeouts_silent(&timeouts, &conn, FROM + 401 * MS));
    ck_assert(!load_timeouts_silent(&timeouts, &conn, FROM - 1));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("load_timeouts");
    TCase *tcase = tcase_create("looks");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, looks_come_in_turn);
    tcase_add_test(tcase, a_client_that_stood_still_reads_first);
    tcase_add_test(tcase, one_that_is_always_late_looks_all_the_same);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("waits");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, requests_wait_from_when_they_were_sent);
    tcase_add_test(tcase, silence_is_of_the_connection);
    suite_add_tcase(suite, tcase);
    return suite;
}
