/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What a load tester says of itself, and the search for a rate that must not
 * take its own limit for the server's. */
#include "client/cli/bench_steps.h"

#include <math.h>
#include <string.h>

#include "tests/lib/run_suite.h"

/* ---- warnings --------------------------------------------------------- */

static const struct {
    double busiest, waiting, held_up;
    uint64_t late, held;
    const char *says; /* NULL: nothing */
} doubts[] = {
    {0.2, 0.01, 0, 0, 0, NULL},
    {0.89, 0.09, 0.009, 0, 0, NULL},
    {0.91, 0, 0, 0, 0, "was busy all the time"},
    {0.5, 0.11, 0, 0, 0, "waited for a core"},
    {0.2, 0, 0.011, 0, 0, "stood still"},
    {0.2, 0, 0, 20, 0, "late of itself"},
    {0.2, 0, 0, 20, 15, NULL}, /* held back: not of itself */
    {0.2, 0, 0, 10, 0, NULL},  /* one in a hundred */
};

START_TEST(doubts_are_told)
{
    static struct load_result result;
    result = (struct load_result){.n_requests = 1000,
                                  .busiest_share = doubts[_i].busiest,
                                  .waiting_share = doubts[_i].waiting,
                                  .held_up_share = doubts[_i].held_up,
                                  .n_late = doubts[_i].late,
                                  .n_held = doubts[_i].held};
    const struct bench_step step = {.result = &result};
    const char *told = bench_step_doubt(&step);
    ck_assert_int_eq(told != NULL, doubts[_i].says != NULL);
    ck_assert(told == NULL || strstr(told, doubts[_i].says) != NULL);
}
END_TEST

/* ---- verdicts --------------------------------------------------------- */

static const struct {
    double held_up;
    uint64_t timeouts, lost, mismatches, latency;
    enum rate_verdict verdict;
} verdicts[] = {
    {0, 0, 0, 0, 100, RATE_HELD},     {0.5, 0, 0, 0, 100, RATE_HELD},
    {0, 0, 0, 0, 5000, RATE_MISSED},  {0.5, 0, 0, 0, 5000, RATE_UNTRIED},
    {0, 1, 0, 0, 100, RATE_MISSED},   {0.5, 1, 0, 0, 100, RATE_UNTRIED},
    {0, 0, 1, 0, 100, RATE_MISSED},   {0.5, 1, 1, 0, 100, RATE_UNTRIED},
    {0.5, 1, 1, 1, 100, RATE_MISSED}, /* a wrong reply is the server's */
};

START_TEST(doubts_are_no_verdict_on_the_server)
{
    static struct load_result result;
    result = (struct load_result){.n_requests = 1,
                                  .held_up_share = verdicts[_i].held_up};
    result.errors[LOAD_ERROR_TIMEOUT] = verdicts[_i].timeouts;
    result.errors[LOAD_ERROR_CONNECTION] = verdicts[_i].lost;
    result.errors[LOAD_ERROR_MISMATCH] = verdicts[_i].mismatches;
    histogram_add(&result.latency, verdicts[_i].latency);
    const struct bench_step step = {.result = &result};
    ck_assert_int_eq(bench_step_judge(&step, 0.99, 1000), verdicts[_i].verdict);
}
END_TEST

/* ---- the search ------------------------------------------------------- */

/* A server and a client that carry so much each. */
static struct rate_search find(double first, double server, double client)
{
    struct rate_search search;
    int steps = 0;
    rate_search_begin(&search, first);
    while (rate_search_tell(&search, search.rate > client   ? RATE_UNTRIED
                                     : search.rate > server ? RATE_MISSED
                                                            : RATE_HELD)) {
        ck_assert_int_lt(++steps, 40);
    }
    return search;
}

static const double firsts[] = {1, 900, 1000, 1001, 1e6};

START_TEST(the_server_is_the_limit)
{
    struct rate_search search = find(firsts[_i], 1000, 1e5);
    ck_assert(search.held <= 1000 && search.held > 1000 / 1.03);
    ck_assert(search.most > 1000);
    ck_assert(!search.of_client);
}
END_TEST

START_TEST(the_client_is_the_limit)
{
    struct rate_search search = find(firsts[_i], 1e5, 1000);
    ck_assert(search.held <= 1000 && search.held > 1000 / 1.03);
    ck_assert(search.of_client);
}
END_TEST

START_TEST(a_rate_beyond_both_is_not_held_against_the_server)
{
    /* Untried at first; in the end it is the server that misses. */
    struct rate_search search = find(1e6, 1000, 1500);
    ck_assert(search.held <= 1000 && search.held > 1000 / 1.03);
    ck_assert(!search.of_client);
    rate_search_begin(&search, 64);
    for (int i = 0; i < 6; i++) {
        ck_assert(rate_search_tell(&search, RATE_UNTRIED));
    }
    ck_assert(search.rate == 1);
    ck_assert(search.held == 0 && search.of_client);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("bench_steps");
    TCase *tcase = tcase_create("doubt");
    tcase_add_loop_test(tcase, doubts_are_told, 0,
                        (int)(sizeof(doubts) / sizeof(doubts[0])));
    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, doubts_are_no_verdict_on_the_server, 0,
                        (int)(sizeof(verdicts) / sizeof(verdicts[0])));
    tcase = tcase_create("search");
    tcase_add_loop_test(tcase, the_server_is_the_limit, 0, 5);
    tcase_add_loop_test(tcase, the_client_is_the_limit, 0, 5);
    tcase_add_test(tcase, a_rate_beyond_both_is_not_held_against_the_server);
    suite_add_tcase(suite, tcase);
    return suite;
}
