/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What a load draws at random, against theory. Seeds are fixed: these either
 * hold or do not. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/bench/arrivals.h"
#include "client/bench/decimal.h"
#include "client/bench/id_choice.h"
#include "client/bench/request_set.h"
#include "client/bench/scramble.h"
#include "client/bench/workload.h"
#include "client/bench/zipf.h"
#include "proto/frame.h"
#include "tests/lib/run_suite.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Of n draws in bins of the given probabilities: not further from what is to be
 * expected than 5 standard deviations of chi-square. */
static void check_chi_square(const uint64_t *counts, const double *shares,
                             size_t n_bins, double n)
{
    double square = 0;
    double total = 0;
    for (size_t i = 0; i < n_bins; i++) {
        double expected = shares[i] * n;
        ck_assert_msg(expected >= 5, "bin %zu expects %g", i, expected);
        square += pow((double)counts[i] - expected, 2) / expected;
        total += (double)counts[i];
    }
    double freedom = (double)n_bins - 1;
    ck_assert_double_eq(total, n);
    ck_assert_msg(square < freedom + 5 * sqrt(2 * freedom),
                  "chi-square is %g with %g degrees of freedom", square,
                  freedom);
}

/* ---- Zipf ------------------------------------------------------------- */

#define ZIPF_DRAWS 300000u
#define ZIPF_BINS  200u

static const struct {
    uint64_t n;
    double s;
} zipfs[] = {{1, 0.9},    {2, 0.9},       {150, 0.9},      {5000, 0.5},
             {5000, 0.9}, {5000, 1.0},    {5000, 1.00001}, {5000, 1.2},
             {500, 2.5},  {1000000, 0.9}, {1000000, 1.05}};

/* Ranks of little weight share the last bins, a decade of them each. */
static size_t bin_of(uint64_t rank)
{
    return rank < ZIPF_BINS / 2
               ? (size_t)rank
               : ZIPF_BINS / 2 + (size_t)(5 * log10((double)(rank + 1) /
                                                    ((double)ZIPF_BINS / 2)));
}

START_TEST(zipf_is_as_theory_says)
{
    static uint64_t counts[ZIPF_BINS];
    static double shares[ZIPF_BINS];
    const uint64_t n = zipfs[_i].n;
    double all = 0;
    for (uint64_t rank = 0; rank < n; rank++) {
        double weight = pow((double)rank + 1, -zipfs[_i].s);
        shares[bin_of(rank)] += weight;
        all += weight;
    }
    struct zipf zipf;
    struct random_stream random = random_stream_of(7, (uint64_t)_i);
    uint64_t beyond = 0;
    zipf_init(&zipf, n, zipfs[_i].s);
    for (uint64_t i = 0; i < ZIPF_DRAWS; i++) {
        uint64_t rank = zipf_rank(&zipf, &random);
        beyond += rank >= n;
        counts[rank < n ? bin_of(rank) : 0]++;
    }
    ck_assert_uint_eq(beyond, 0);
    /* Bins that expect too few go into the one before. */
    size_t n_bins = 0;
    for (size_t i = 0; i < ZIPF_BINS; i++) {
        double share = shares[i] / all;
        bool few = n_bins > 0 && share * ZIPF_DRAWS < 5;
        size_t to = few ? n_bins - 1 : n_bins++;
        uint64_t count = counts[i];
        if (to != i) {
            counts[i] = 0;
        }
        counts[to] = few ? counts[to] + count : count;
        shares[to] = few ? shares[to] + share : share;
    }
    if (n_bins > 1) {
        check_chi_square(counts, shares, n_bins, ZIPF_DRAWS);
    }
    ck_assert_uint_le(random.next, (size_t)(ZIPF_DRAWS + 9) / 9 * 10);
}
END_TEST

START_TEST(zipf_of_many_ranks_stays_among_them)
{
    struct zipf zipf;
    struct random_stream random = random_stream_of(7, 99);
    const uint64_t n = UINT64_C(1) << 40;
    zipf_init(&zipf, n, 0.9);
    uint64_t most = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t rank = zipf_rank(&zipf, &random);
        most = rank > most ? rank : most;
    }
    ck_assert_uint_lt(most, n);
    ck_assert_uint_gt(most, n / 2);
}
END_TEST

/* ---- scramble --------------------------------------------------------- */

START_TEST(scramble_is_a_bijection)
{
    static const uint64_t sizes[] = {1, 2, 3, 7, 64, 65, 1000, 100003};
    const uint64_t n = sizes[_i];
    struct scramble scramble;
    scramble_init(&scramble, n, 5);
    uint8_t *seen = calloc(1, n);
    uint64_t in_place = 0;
    uint64_t n_wrong = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t to = scramble_at(&scramble, i);
        n_wrong += to >= n || seen[to]++ != 0;
        in_place += to == i;
    }
    ck_assert_uint_eq(n_wrong, 0);
    ck_assert(n < 64 || in_place < 10);
    free(seen);
}
END_TEST

START_TEST(scramble_of_the_largest_range)
{
    struct scramble scramble;
    scramble_init(&scramble, UINT64_MAX, 5);
    uint64_t first = scramble_at(&scramble, 0);
    uint64_t last = scramble_at(&scramble, UINT64_MAX - 1);
    ck_assert_uint_ne(first, last);
    struct scramble other;
    scramble_init(&other, UINT64_MAX, 6);
    ck_assert_uint_ne(scramble_at(&other, 0), first);
}
END_TEST

/* ---- arrivals --------------------------------------------------------- */

START_TEST(poisson_gaps_are_as_theory_says)
{
    enum {
        BINS = 50,
        DRAWS = 200000
    };
    static uint64_t counts[BINS];
    static double shares[BINS];
    struct arrivals arrivals;
    const double rate = 4000; /* two threads: 2,000 requests/s each */
    arrivals_init(&arrivals, ARRIVALS_POISSON, 2 * rate, 1, 2, 3);
    uint64_t last = 0;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t due = arrivals_next(&arrivals);
        /* The share of gaps that are shorter: evenly in 0..1. */
        double below = 1 - exp(-(double)(due - last) * 1e-9 * rate);
        counts[(size_t)fmin(below * BINS, BINS - 1)]++;
        last = due;
    }
    for (int i = 0; i < BINS; i++) {
        shares[i] = 1.0 / BINS;
    }
    check_chi_square(counts, shares, BINS, DRAWS);
}
END_TEST

START_TEST(poisson_threads_differ)
{
    struct arrivals one;
    struct arrivals other;
    arrivals_init(&one, ARRIVALS_POISSON, 1000, 0, 2, 3);
    arrivals_init(&other, ARRIVALS_POISSON, 1000, 1, 2, 3);
    ck_assert_uint_ne(arrivals_next(&one), arrivals_next(&other));
}
END_TEST

/* What a request asks for tells nothing of when it is due. */
START_TEST(arrivals_and_ids_do_not_correlate)
{
    const struct workload_options asked = {.method = FRAME_METHOD_lookup,
                                           .samples = 1};
    const struct id_choice choice = {.kind = ID_UNIFORM};
    struct workload workload;
    struct request_set set;
    struct arrivals arrivals;
    ck_assert_int_eq(workload_of_list("t:1", &asked, &workload, NULL), 0);
    workload.tables[0].rows = 1000000;
    const struct request_set_options options = {.workload = &workload,
                                                .choice = &choice,
                                                .seed = 3,
                                                .thread = 1,
                                                .n_threads = 2,
                                                .bytes = 200000,
                                                .keep_ids = true};
    ck_assert_int_eq(request_set_init(&set, &options, NULL), 0);
    ck_assert_uint_ge(set.n, 2000);
    arrivals_init(&arrivals, ARRIVALS_POISSON, 2e6, 1, 2, 3);
    double x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    uint64_t last = 0;
    for (size_t i = 0; i < set.n; i++) {
        uint64_t due = arrivals_next(&arrivals);
        double gap = (double)(due - last);
        double id = (double)set.ids[i];
        last = due;
        x += gap, xx += gap * gap;
        y += id, yy += id * id;
        xy += gap * id;
    }
    double n = (double)set.n;
    double r = (n * xy - x * y) / sqrt((n * xx - x * x) * (n * yy - y * y));
    ck_assert_msg(fabs(r) < 5 / sqrt(n), "gaps and ids correlate: %g", r);
    request_set_fini(&set);
    workload_fini(&workload);
}
END_TEST

START_TEST(constant_arrivals_take_turns)
{
    struct arrivals arrivals[3];
    for (unsigned i = 0; i < 3; i++) {
        arrivals_init(&arrivals[i], ARRIVALS_CONSTANT, 3e6, i, 3, 3);
    }
    uint64_t n_wrong = 0;
    for (uint64_t i = 0; i < 3000000; i++) {
        uint64_t due = arrivals_next(&arrivals[i % 3]);
        uint64_t right = i * 1000 / 3;
        n_wrong += due + 1 < right || due > right + 1;
    }
    ck_assert_uint_eq(n_wrong, 0);
}
END_TEST

/* ---- choices of ids --------------------------------------------------- */

static const struct {
    const char *text;
    int rv;
    enum id_kind kind;
    double a;
    double b;
} choices[] = {
    {"uniform", 0, ID_UNIFORM, 0, 0},
    {"zipf", 0, ID_ZIPF, 0.9, 0},
    {"zipf:1.25", 0, ID_ZIPF, 1.25, 0},
    {"hot:0.01:0.9", 0, ID_HOT, 0.01, 0.9},
    {"trace:ids.txt", 0, ID_TRACE, 0, 0},
    {"", NB_ERR_INVALID, 0, 0, 0},
    {"Zipf", NB_ERR_INVALID, 0, 0, 0},
    {"zipf:", NB_ERR_INVALID, 0, 0, 0},
    {"zipf:0", NB_ERR_INVALID, 0, 0, 0},
    {"zipf:-1", NB_ERR_INVALID, 0, 0, 0},
    {"zipf:10.5", NB_ERR_INVALID, 0, 0, 0},
    {"zipf:nan", NB_ERR_INVALID, 0, 0, 0},
    {"zipf:1x", NB_ERR_INVALID, 0, 0, 0},
    {"hot:0.5", NB_ERR_INVALID, 0, 0, 0},
    {"hot:1.5:0.5", NB_ERR_INVALID, 0, 0, 0},
    {"hot:0.5:1.5", NB_ERR_INVALID, 0, 0, 0},
    {"trace:", NB_ERR_INVALID, 0, 0, 0},
};

START_TEST(choices_are_read)
{
    struct id_choice choice;
    const char *path;
    struct nb_errctx err = {""};
    const char *text = choices[_i].text;
    int rv = id_choice_parse(text, &choice, &path, &err);
    ck_assert_int_eq(rv, choices[_i].rv);
    if (rv != 0) {
        ck_assert_ptr_nonnull(strstr(err.text, "is none of uniform"));
        return;
    }
    ck_assert_int_eq(choice.kind, choices[_i].kind);
    if (choice.kind == ID_ZIPF) {
        ck_assert_double_eq(choice.s, choices[_i].a);
    } else if (choice.kind == ID_HOT) {
        ck_assert_double_eq(choice.hot_rows, choices[_i].a);
        ck_assert_double_eq(choice.hot_share, choices[_i].b);
    }
    ck_assert(choice.kind == ID_TRACE ? strcmp(path, "ids.txt") == 0
                                      : path == NULL);
}
END_TEST

START_TEST(hot_rows_get_their_share)
{
    enum {
        ROWS = 1000,
        DRAWS = 200000,
        HOT = 20
    };
    const struct id_choice choice = {
        .kind = ID_HOT, .hot_rows = 0.02, .hot_share = 0.9};
    struct id_source source;
    struct random_stream random = random_stream_of(1, 1);
    id_source_init(&source, &choice, ROWS, 77, 0);
    static uint64_t counts[ROWS];
    static double shares[ROWS];
    for (int i = 0; i < DRAWS; i++) {
        counts[id_source_next(&source, &random)]++;
    }
    for (uint64_t i = 0; i < ROWS; i++) {
        uint64_t id = scramble_at(&source.scramble, i);
        shares[id] = i < HOT ? 0.9 / HOT : 0.1 / (ROWS - HOT);
    }
    check_chi_square(counts, shares, ROWS, DRAWS);
}
END_TEST

START_TEST(hot_rows_at_the_edges)
{
    static const struct id_choice edges[] = {
        {.kind = ID_HOT, .hot_rows = 0, .hot_share = 1},
        {.kind = ID_HOT, .hot_rows = 1, .hot_share = 0},
        {.kind = ID_HOT, .hot_rows = 1, .hot_share = 1},
        {.kind = ID_UNIFORM},
        {.kind = ID_ZIPF, .s = 0.9},
    };
    struct random_stream random = random_stream_of(1, 1);
    for (uint64_t n = 1; n < 4; n++) {
        for (int i = 0; i < COUNT(edges); i++) {
            struct id_source source;
            id_source_init(&source, &edges[i], n, 1, 0);
            for (int j = 0; j < 100; j++) {
                ck_assert_uint_lt(id_source_next(&source, &random), n);
            }
        }
    }
}
END_TEST

START_TEST(popular_ids_are_scattered)
{
    const struct id_choice choice = {.kind = ID_ZIPF, .s = 1.2};
    struct id_source source;
    struct random_stream random = random_stream_of(1, 1);
    id_source_init(&source, &choice, 1000000, 3, 0);
    uint64_t low = 0;
    for (int i = 0; i < 10000; i++) {
        low += id_source_next(&source, &random) < 1000;
    }
    ck_assert_uint_lt(low, 3000); /* in order of rank: nearly all */
}
END_TEST

START_TEST(traces_go_round)
{
    static const uint64_t ids[] = {5, UINT64_MAX, 7};
    const struct id_choice choice = {
        .kind = ID_TRACE, .trace = ids, .n_trace = 3};
    struct id_source source;
    struct random_stream random = {0};
    id_source_init(&source, &choice, 10, 1, 4);
    for (size_t i = 0; i < 7; i++) {
        ck_assert_uint_eq(id_source_next(&source, &random), ids[(i + 1) % 3]);
    }
    ck_assert_uint_eq(random.next, 0);
}
END_TEST

START_TEST(decimals_are_read_strictly)
{
    static const struct {
        const char *text;
        bool valid;
        double value;
    } texts[] = {{"0", true, 0},
                 {"2.50", true, 2.5},
                 {".5", true, 0.5},
                 {"5.", true, 5},
                 {"", false, 0},
                 {".", false, 0},
                 {"1.2.3", false, 0},
                 {"-1", false, 0},
                 {"1e3", false, 0},
                 {"999999999999999999", true, 1e18},
                 {"1999999999999999999", false, 0}};
    for (int i = 0; i < COUNT(texts); i++) {
        double value = 77;
        const char *text = texts[i].text;
        ck_assert(decimal_parse(text, strlen(text), &value) == texts[i].valid);
        ck_assert_double_eq(value, texts[i].valid ? texts[i].value : 77);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("load_random");
    TCase *tcase = tcase_create("random");
    tcase_add_loop_test(tcase, zipf_is_as_theory_says, 0, COUNT(zipfs));
    tcase_add_test(tcase, zipf_of_many_ranks_stays_among_them);
    tcase_add_loop_test(tcase, scramble_is_a_bijection, 0, 8);
    tcase_add_test(tcase, scramble_of_the_largest_range);
    tcase_add_test(tcase, poisson_gaps_are_as_theory_says);
    tcase_add_test(tcase, poisson_threads_differ);
    tcase_add_test(tcase, arrivals_and_ids_do_not_correlate);
    tcase_add_test(tcase, constant_arrivals_take_turns);
    tcase_add_loop_test(tcase, choices_are_read, 0, COUNT(choices));
    tcase_add_test(tcase, hot_rows_get_their_share);
    tcase_add_test(tcase, hot_rows_at_the_edges);
    tcase_add_test(tcase, popular_ids_are_scattered);
    tcase_add_test(tcase, traces_go_round);
    tcase_add_test(tcase, decimals_are_read_strictly);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    return suite;
}
