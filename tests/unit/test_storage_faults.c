/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Every call that can fail fails once, and then from there on: the error comes
 * back, nothing leaks (the sanitizers see to that) and no file is left. */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/eval/comparison.h"
#include "storage/source/source.h"
#include "storage/builder/table_builder.h"
#include "storage/eval/table_eval.h"
#include "storage/export/table_export.h"
#include "tests/lib/faults.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define CALLS_MAX 100000

static struct nb_errctx err;
static const char *input;
static const char *output;

static void *json_malloc(size_t n)
{
    return malloc(n); /* the wrapped one */
}

static void setup(void)
{
    scratch_create();
    const char text[] = "2 3\na 1 2 3\nb 4 nan 6\n";
    input = scratch_write("in.txt", text, sizeof(text) - 1);
    output = scratch_path("out");
}

static const char *keys; /* NULL: a dense table */

static int build(void)
{
    const struct build_options options = {
        .input = input,
        .source = {.format = "auto"},
        .output = output,
        .codec = "q4",
        .search = "greedy",
        .scales = NB_SCALES_FP16,
        .columns = COLUMNS_AUTO, /* reads twice, and allocates most */
        .nan_policy = NAN_ZERO,
        .keys = keys,
        .threads = 2,
    };
    struct build_report report;
    return table_build(&options, &report, &err);
}

static int open_full(void)
{
    struct table *table;
    int rv = table_open(input, TABLE_VERIFY_FULL, &table, &err);
    if (rv == 0) {
        table_close(table);
    }
    return rv;
}

static struct table *opened;

static int export_npy(void)
{
    return table_export(opened, "npy", output, &err);
}

static const char *eval_input;
static const char *eval_weights;

static int eval(void)
{
    struct source *source;
    const struct source_options options = {0};
    int rv = source_open(eval_input, &options, &source, &err);
    if (rv == 0) {
        struct eval_report report;
        rv = table_eval(opened, source, NULL, NULL, NULL, &report, &err);
        source_close(source);
    }
    return rv;
}

/* Reads a sample by weights, and compares candidates on it. */
static int compare(void)
{
    struct source *source = NULL;
    struct row_weights *weights = NULL;
    struct row_sample sample = {0};
    struct candidate_list list = {0};
    struct compared lines[2];
    const struct source_options options = {0};
    int rv = source_open(eval_input, &options, &source, &err);
    if (rv == 0) {
        rv = row_weights_open(eval_weights, &weights, &err);
    }
    if (rv == 0) {
        const struct sample_options take = {.source = source,
                                            .weights = weights};
        rv = row_sample_take(&take, &sample, &err);
    }
    if (rv == 0) {
        rv = candidate_list_parse("greedy,q8", 3, &list, &err);
    }
    if (rv == 0) {
        const struct comparison comparison = {.sample = &sample,
                                              .list = &list,
                                              .budget_seconds = 1,
                                              .threads = 3};
        rv = comparison_run(&comparison, lines, &err);
    }
    candidate_list_fini(&list);
    row_sample_fini(&sample);
    row_weights_close(weights);
    source_close(source);
    return rv;
}

/* Whether that is how the fault may come back. */
static bool is_error_of(unsigned set, int error, int rv)
{
    if (set == FAULT_ALLOC) {
        return rv == NB_ERR_NOMEM;
    }
    return rv == -error;
}

/* Runs `work` with call 0, 1, 2... failing, until no call is left to fail.
 * A fault may also be overcome. */
static void sweep(int (*work)(void), unsigned set, int error)
{
    size_t before = scratch_count();
    for (int for_good = 0; for_good < 2; for_good++) {
        bool given = true;
        size_t n = 0;
        for (; given; n++) {
            ck_assert_uint_lt(n, CALLS_MAX);
            err.text[0] = '\0';
            faults_arm(set, n, error, for_good);
            int rv = work();
            given = faults_disarm();
            if (rv == 0) {
                unlink(output);
            } else {
                ck_assert_msg(is_error_of(set, error, rv),
                              "fault %u, call %zu: %d: %s", set, n, rv,
                              err.text);
                ck_assert_msg(err.text[0] != '\0', "fault %u, call %zu", set,
                              n);
                ck_assert_msg(given, "%s", err.text);
                /* A file synced and renamed may stay if only its directory
                 * cannot be synced. */
                if (set == FAULT_SYNC) {
                    unlink(output);
                }
            }
            ck_assert_uint_eq(scratch_count(), before);
        }
        ck_assert_uint_gt(n, 1); /* something was made to fail */
    }
}

START_TEST(building)
{
    /* Not where JSON is read: there jansson 2.14 aborts on a lack of memory. */
    json_set_alloc_funcs(json_malloc, free);
    sweep(build, FAULT_ALLOC, ENOMEM);
    sweep(build, FAULT_OPEN, EMFILE);
    sweep(build, FAULT_READ, EIO);
    sweep(build, FAULT_WRITE, ENOSPC);
    sweep(build, FAULT_SYNC, EIO);
    sweep(build, FAULT_RENAME, EACCES);
    sweep(build, FAULT_SEEK, EIO);
    sweep(build, FAULT_STAT, EIO);
    sweep(build, FAULT_THREAD, EAGAIN);
}
END_TEST

START_TEST(opening)
{
    ck_assert_int_eq(build(), 0);
    input = output;
    output = scratch_path("none");
    sweep(open_full, FAULT_ALLOC, ENOMEM);
    sweep(open_full, FAULT_OPEN, ENOENT);
    sweep(open_full, FAULT_READ, EIO);
    sweep(open_full, FAULT_MAP, ENODEV);
    sweep(open_full, FAULT_STAT, EIO);
}
END_TEST

/* A keyed table stands in a file of its own before it is sorted. */
START_TEST(keyed)
{
    const uint64_t two[] = {5, 1};
    keys = scratch_write("keys", two, sizeof(two));
    sweep(build, FAULT_ALLOC, ENOMEM);
    sweep(build, FAULT_OPEN, EMFILE);
    sweep(build, FAULT_READ, EIO);
    sweep(build, FAULT_WRITE, ENOSPC);
    sweep(build, FAULT_STAT, EIO);
    sweep(build, FAULT_THREAD, EAGAIN);
    ck_assert_int_eq(build(), 0);
    input = output;
    output = scratch_path("none");
    sweep(open_full, FAULT_ALLOC, ENOMEM);
    sweep(open_full, FAULT_READ, EIO);
}
END_TEST

START_TEST(exporting_and_evaluating)
{
    ck_assert_int_eq(build(), 0);
    ck_assert_int_eq(table_open(output, TABLE_VERIFY_FULL, &opened, &err), 0);
    output = scratch_path("exported");
    eval_input = input;
    sweep(export_npy, FAULT_ALLOC, ENOMEM);
    sweep(export_npy, FAULT_OPEN, EMFILE);
    sweep(export_npy, FAULT_WRITE, ENOSPC);
    sweep(export_npy, FAULT_RENAME, EACCES);
    sweep(export_npy, FAULT_SYNC, EIO);
    sweep(eval, FAULT_ALLOC, ENOMEM);
    sweep(eval, FAULT_READ, EIO);
    table_close(opened);
}
END_TEST

START_TEST(comparing)
{
    eval_input = input;
    eval_weights = scratch_write("weights.txt", "2\n1\n", 4);
    sweep(compare, FAULT_ALLOC, ENOMEM);
    sweep(compare, FAULT_OPEN, EMFILE);
    sweep(compare, FAULT_READ, EIO);
    sweep(compare, FAULT_SEEK, EIO);
}
END_TEST

/* The file is on disk before it has its name, and its name before all is well.
 */
START_TEST(order_of_syncs)
{
    faults_arm(FAULT_SYNC, 0, EIO, false);
    ck_assert_int_eq(build(), -EIO);
    ck_assert_int_ne(access(output, F_OK), 0);
    faults_arm(FAULT_SYNC, 1, EIO, false);
    ck_assert_int_eq(build(), -EIO);
    ck_assert_int_eq(access(output, F_OK), 0);
    /* A file system that cannot sync directories will do. */
    faults_arm(FAULT_SYNC, 1, EINVAL, false);
    ck_assert_int_eq(build(), 0);
    ck_assert(faults_disarm());
}
END_TEST

static void cut_output(void)
{
    ck_assert_int_eq(truncate(output, 4096), 0);
}

START_TEST(cut_while_opened)
{
    ck_assert_int_eq(build(), 0);
    struct table *table;
    faults_hook_map(cut_output);
    ck_assert_int_eq(table_open(output, TABLE_VERIFY_FULL, &table, &err),
                     NB_ERR_TRUNCATED);
    faults_hook_map(NULL);
    ck_assert_ptr_nonnull(strstr(err.text, "while being opened"));
}
END_TEST

/* Reads and writes that are interrupted, or move few bytes, are gone on with.
 */
START_TEST(short_transfers)
{
    ck_assert_int_eq(build(), 0);
    size_t n;
    uint8_t *expected = scratch_read(output, &n);
    for (size_t cap = 1; cap < 8; cap += 3) {
        faults_cap_transfers(cap);
        faults_arm(FAULT_READ | FAULT_WRITE, cap, EINTR, false);
        int rv = build();
        ck_assert(faults_disarm());
        ck_assert_msg(rv == 0, "%s", err.text);
        struct table *table;
        rv = table_open(output, TABLE_VERIFY_FULL, &table, &err);
        faults_cap_transfers(0);
        ck_assert_msg(rv == 0, "%s", err.text);
        table_close(table);
        size_t m;
        uint8_t *bytes = scratch_read(output, &m);
        ck_assert_uint_eq(m, n);
        ck_assert_mem_eq(bytes, expected, n);
        free(bytes);
    }
    free(expected);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("storage_faults");
    TCase *tests = tcase_create("faults");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, scratch_remove);
    tcase_add_test(tests, building);
    tcase_add_test(tests, opening);
    tcase_add_test(tests, keyed);
    tcase_add_test(tests, exporting_and_evaluating);
    tcase_add_test(tests, comparing);
    tcase_add_test(tests, order_of_syncs);
    tcase_add_test(tests, cut_while_opened);
    tcase_add_test(tests, short_transfers);
    suite_add_tcase(suite, tests);
    return suite;
}
