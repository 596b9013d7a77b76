/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Every call that publishing, pinning and opening make fails once, and then
 * from there on: the error comes back, nothing leaks (the sanitizers see to
 * that), what is served is whole, and the next publish works. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/io/file_copy.h"
#include "storage/repo/model_repo.h"
#include "tests/lib/faults.h"
#include "tests/lib/repo_files.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

#define CALLS_MAX 100000

static struct nb_errctx err;
static const char *repo;

static void *json_malloc(size_t n)
{
    return malloc(n); /* the wrapped one */
}

static void setup(void)
{
    scratch_create();
    repo = repo_files_create();
    faults_skip_syncs(true);
    json_set_alloc_funcs(json_malloc, free);
}

static const struct {
    unsigned set;
    int error;
    bool for_good;
} faults[] = {
    {FAULT_ALLOC, ENOMEM, false}, {FAULT_ALLOC, ENOMEM, true},
    {FAULT_OPEN, EMFILE, false},  {FAULT_OPEN, EACCES, true},
    {FAULT_MAP, ENOMEM, false},   {FAULT_READ, EIO, false},
    {FAULT_READ, EIO, true},      {FAULT_WRITE, ENOSPC, false},
    {FAULT_WRITE, ENOSPC, true},  {FAULT_SYNC, EIO, false},
    {FAULT_SYNC, EIO, true},      {FAULT_RENAME, EACCES, false},
    {FAULT_RENAME, EIO, true},    {FAULT_MKDIR, EACCES, false},
    {FAULT_MKDIR, ENOSPC, true},  {FAULT_LOCK, ENOLCK, false},
    {FAULT_LOCK, ENOLCK, true},   {FAULT_STAT, EIO, false},
    {FAULT_STAT, EIO, true},      {FAULT_LIST, EIO, false},
    {FAULT_LIST, EIO, true},
};
#define N_FAULTS (int)(sizeof(faults) / sizeof(faults[0]))

static void arm(int i, size_t n)
{
    faults_arm(faults[i].set, n, faults[i].error, faults[i].for_good);
}

START_TEST(publishing)
{
    bool given = true;
    uint64_t last = repo_files_add(0, 10);
    for (size_t n = 0; given; n++) {
        uint64_t version = 0;
        size_t n_rows;
        ck_assert_uint_lt(n, CALLS_MAX);
        table_file_write("a.nbt", 8, 10);
        table_file_write("b.nbt", 5, 10);
        err.text[0] = '\0';
        arm(_i, n);
        int rv = repo_files_publish(0, 2, 0, &version, &err);
        given = faults_disarm();
        ck_assert_msg(rv != 0 || version == last + 1, "call %zu", n);
        ck_assert(rv == 0 || (given && err.text[0] != '\0'));
        ck_assert(rv <= 0);
        /* Published or not, what is served is whole. */
        uint64_t served = repo_files_serving(&n_rows);
        ck_assert(served == last || served == last + 1);
        ck_assert(rv != 0 || served == last + 1);
        last = repo_files_add(2, 10);
        ck_assert_uint_eq(repo_files_hidden(), 0);
    }
}
END_TEST

static int open_serving(void)
{
    struct serving serving;
    int rv =
        model_repo_open_serving(repo, "m", &repo_files_full, &serving, &err);
    if (rv == 0) {
        serving_fini(&serving);
    }
    return rv;
}

static int pin(void)
{
    return model_repo_pin(repo, "m", 1, &err);
}

static int unpin(void)
{
    return model_repo_pin(repo, "m", 0, &err);
}

static int list(void)
{
    struct model_names models;
    int rv = model_repo_models(repo, &models, &err);
    if (rv == 0) {
        model_names_fini(&models);
    }
    return rv;
}

static int plan(void)
{
    const struct publish_table tables[] = {{"a", scratch_path("a.nbt")}};
    const struct publish_options options = {.repo = repo,
                                            .model = "m",
                                            .tables = tables,
                                            .n_tables = 1,
                                            .keep = 1,
                                            .dry_run = true};
    struct publish_report report;
    int rv = publish(&options, &report, &err);
    publish_report_fini(&report);
    return rv;
}

START_TEST(reading_and_pinning)
{
    static int (*const operations[])(void) = {open_serving, pin,  open_serving,
                                              unpin,        list, plan};
    repo_files_add(0, 10);
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        bool given = true;
        for (size_t n = 0; given; n++) {
            ck_assert_uint_lt(n, CALLS_MAX);
            err.text[0] = '\0';
            arm(_i, n);
            int rv = operations[i]();
            given = faults_disarm();
            ck_assert(rv == 0 || (given && err.text[0] != '\0'));
            ck_assert_int_eq(open_serving(), 0);
        }
        ck_assert_str_eq(repo_files_versions(), "1");
    }
}
END_TEST

/* A shortage is not the version's fault: no older one is taken for it. */
START_TEST(a_shortage_does_not_fall_back)
{
    repo_files_add(0, 10);
    repo_files_add(0, 11);
    bool given = true;
    for (size_t n = 0; given; n++) {
        struct serving serving = {0};
        faults_arm(FAULT_OPEN, n, EMFILE, false);
        int rv = model_repo_open_serving(repo, "m", &repo_files_full, &serving,
                                         &err);
        given = faults_disarm();
        ck_assert_int_eq(rv, given ? -EMFILE : 0);
        if (rv == 0) {
            ck_assert_uint_eq(serving.version, 2);
            serving_fini(&serving);
        }
    }
}
END_TEST

/* ---- copying ------------------------------------------------------------- */

#define COPY_BYTES 10000u

static uint64_t told;

static void on_copied(void *arg, uint64_t bytes)
{
    (void)arg;
    ck_assert_uint_gt(bytes, told);
    told = bytes;
}

static int copy(uint64_t bytes)
{
    uint8_t from[COPY_BYTES];
    for (size_t i = 0; i < sizeof(from); i++) {
        from[i] = (uint8_t)(i * 7 + i / 256);
    }
    int in = open(scratch_write("in", from, sizeof(from)), O_RDONLY);
    int out = open(scratch_write("out", "", 0), O_RDWR);
    told = 0;
    int rv = file_copy(in, out, bytes, on_copied, NULL);
    close(in);
    close(out);
    faults_disarm();
    faults_cap_transfers(0);
    if (rv == 0) {
        size_t n;
        uint8_t *copied = scratch_read(scratch_path("out"), &n);
        ck_assert_uint_eq(n, bytes);
        ck_assert_uint_eq(told, bytes);
        ck_assert_mem_eq(copied, from, n);
        free(copied);
    }
    return rv;
}

START_TEST(copies_by_every_way)
{
    static const int unsupported[] = {EXDEV, EINVAL, ENOSYS, EOPNOTSUPP};
    ck_assert_int_eq(copy(COPY_BYTES), 0);
    ck_assert_int_eq(copy(COPY_BYTES - 1), 0); /* not the whole file */
    faults_cap_transfers(999);
    ck_assert_int_eq(copy(COPY_BYTES - 1), 0);
    for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
        for (size_t n = 0; n < 3; n++) { /* at once, and on the way */
            faults_cap_transfers(999);
            faults_arm(FAULT_WRITE, n, unsupported[i], false);
            ck_assert_int_eq(copy(COPY_BYTES - 1), 0);
        }
    }
    faults_arm(FAULT_WRITE, 0, EINTR, false);
    ck_assert_int_eq(copy(COPY_BYTES - 1), 0);
    faults_arm(FAULT_WRITE, 0, EFBIG, false);
    ck_assert_int_eq(copy(COPY_BYTES - 1), -EFBIG);
    ck_assert_int_eq(copy(COPY_BYTES + 1), NB_ERR_TRUNCATED);
}
END_TEST

/* The directory is listed once, however many versions are passed over:
 * every listing opens it. */
START_TEST(versions_passed_over_cost_no_listing)
{
    size_t n_rows;
    char name[32];
    ck_assert_uint_eq(repo_files_add(0, 10), 1);
    for (unsigned version = 2; version < 102; version++) {
        snprintf(name, sizeof(name), "%u", version);
        ck_assert_int_eq(mkdir(repo_files_path(name), 0700), 0);
    }
    faults_arm(FAULT_OPEN, 100, EMFILE, true);
    ck_assert_uint_eq(repo_files_serving(&n_rows), 1);
    ck_assert(!faults_disarm());
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("publish_faults");
    TCase *tcase = tcase_create("publish_faults");
    tcase_add_checked_fixture(tcase, setup, scratch_remove);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, publishing, 0, N_FAULTS);
    tcase_add_loop_test(tcase, reading_and_pinning, 0, N_FAULTS);
    tcase_add_test(tcase, a_shortage_does_not_fall_back);
    tcase_add_test(tcase, copies_by_every_way);
    tcase_add_test(tcase, versions_passed_over_cost_no_listing);
    suite_add_tcase(suite, tcase);
    return suite;
}
