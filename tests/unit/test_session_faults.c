/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Out of memory at every allocation of a session: it answers, refuses or
 * ends, and what it held is freed. */
#include <errno.h>
#include <string.h>

#include "server/request/session.h"
#include "tests/lib/faults.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/service_fixture.h"

/* Two pings with half a frame behind them, a large one in two parts, and a
 * lookup; as one read each. */
static const size_t reads[] = {16, 16 + 7, 9, 3000, 40000, 16 + 5016 - 3000};

/* Gives input[0..n) as one read, or as much as the window takes. */
static size_t feed(struct session *session, const uint8_t *input, size_t n)
{
    void *window;
    size_t room;
    if (!session_wants_input(session) ||
        session_window(session, &window, &room) != 0) {
        return 0;
    }
    n = n < room ? n : room;
    memcpy(window, input, n);
    session_received(session, n, fixture_now_ns);
    return n;
}

static void run_session(void)
{
    static uint8_t input[50000];
    static const uint8_t body[5000];
    struct session session;
    size_t n = 0;
    for (uint32_t i = 0; i < 3; i++) {
        n = fixture_put_request(input, n, FRAME_METHOD_ping, i, NULL, 0);
    }
    fixture_put_request(input, n, FRAME_METHOD_lookup, 3, body, sizeof(body));
    session_init(&session, &fixture_service);
    size_t at = 0;
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        size_t part =
            reads[i] < sizeof(input) - at ? reads[i] : sizeof(input) - at;
        at += feed(&session, input + at, part);
    }
    outq_consume(&session.out, session.out.bytes);
    session_fini(&session);
}

START_TEST(out_of_memory_anywhere)
{
    bool for_good = _i != 0;
    bool given = true;
    for (size_t n = 0; given; n++) {
        ck_assert_uint_lt(n, 100);
        fixture_open("");
        faults_arm(FAULT_ALLOC, n, ENOMEM, for_good);
        run_session();
        given = faults_disarm();
        ck_assert(given || n > 2);
        fixture_close();
    }
}
END_TEST

/* Requests, errors and a frame in two parts: all from memory kept before. */
START_TEST(steady_state_allocates_nothing)
{
    static const uint8_t body[] = {0x2a, 0x0d, 0x0a, 1, 'a', 0x1a, 8, 0,
                                   0,    0,    0,    1, 0,   0,    0};
    uint8_t input[256];
    size_t n = fixture_put_request(input, 0, FRAME_METHOD_lookup, 1, body,
                                   sizeof(body));
    n = fixture_put_request(input, n, 99, 2, body, sizeof(body));
    n = fixture_put_request(input, n, FRAME_METHOD_status, 3, NULL, 0);
    n = fixture_put_request(input, n, FRAME_METHOD_ping, 4, NULL, 0);
    fixture_open("");
    struct session session;
    session_init(&session, &fixture_service);
    size_t fed = 0;
    size_t n_replies = 0;
    for (int round = 0; round < 20; round++) {
        if (round == 2) {
            faults_arm(FAULT_ALLOC, 0, ENOMEM, true); /* check's too */
        }
        fed += feed(&session, input, n - 5);
        fed += feed(&session, input + n - 5, 5);
        n_replies += session.out.n_replies;
        outq_consume(&session.out, session.out.bytes);
    }
    ck_assert(!faults_disarm());
    ck_assert_uint_eq(fed, 20 * n);
    ck_assert_uint_eq(n_replies, 80);
    session_fini(&session);
    fixture_close();
}
END_TEST

/* Nothing is held after a failed init: the leak checker sees. */
START_TEST(service_and_tables)
{
    bool given = true;
    fixture_open("");
    const struct service_common *common = fixture_service.common;
    for (size_t n = 0; given; n++) {
        struct service service;
        struct table_set *set = NULL;
        struct catalog *catalog = NULL;
        faults_arm(FAULT_ALLOC | FAULT_MAP, n, ENOMEM, false);
        int rv = table_set_create("m", 1, 2, &set);
        if (rv == 0) {
            rv = catalog_create(&catalog);
        }
        if (rv == 0) {
            rv = catalog_add(catalog, set, CATALOG_FILES);
        }
        if (rv == 0) {
            rv = service_init(&service, common, 0, catalog,
                              fixture_service.now_ns);
        }
        given = faults_disarm();
        ck_assert(given == (rv != 0));
        if (rv == 0) {
            service_fini(&service);
        }
        catalog_unref(catalog);
        table_set_unref(set);
    }
    fixture_close();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("session_faults");
    TCase *tcase = tcase_create("session_faults");
    tcase_add_loop_test(tcase, out_of_memory_anywhere, 0, 2);
    tcase_add_test(tcase, steady_state_allocates_nothing);
    tcase_add_test(tcase, service_and_tables);
    suite_add_tcase(suite, tcase);
    return suite;
}
