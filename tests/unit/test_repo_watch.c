/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/repo_watch.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/repo_files.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

static uv_loop_t loop;
static struct repo_watch *watch;
static unsigned n_changes;
static char repo[4096];

static void on_change(void *arg)
{
    ck_assert_ptr_eq(arg, &n_changes);
    n_changes++;
}

static void setup(void)
{
    scratch_create();
    snprintf(repo, sizeof(repo), "%s", repo_files_create());
    n_changes = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
}

static void open_watch(void)
{
    ck_assert_int_eq(
        repo_watch_open(&loop, repo, on_change, &n_changes, &watch), 0);
}

static void teardown(void)
{
    repo_watch_close(watch);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    scratch_remove();
}

/* What there is to be told by now: inotify has it before the call that caused
 * it returns. */
static unsigned changes(void)
{
    unsigned before = n_changes;
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_run(&loop, UV_RUN_NOWAIT);
    return n_changes - before;
}

static void make(const char *name)
{
    ck_assert_int_eq(mkdir(scratch_path(name), 0700), 0);
}

static void move(const char *from, const char *to)
{
    ck_assert_int_eq(rename(scratch_path(from), scratch_path(to)), 0);
}

START_TEST(versions_and_pins_are_told)
{
    repo_files_add(0, 5);
    open_watch();
    ck_assert_uint_eq(changes(), 0);
    repo_files_add(0, 6);
    ck_assert_uint_gt(changes(), 0);
    ck_assert_int_eq(model_repo_pin(repo, "m", 1, NULL), 0);
    ck_assert_uint_gt(changes(), 0);
    ck_assert_int_eq(model_repo_pin(repo, "m", 0, NULL), 0);
    ck_assert_uint_gt(changes(), 0);
    move("repo/m/2", "gone");
    ck_assert_uint_gt(changes(), 0);
}
END_TEST

START_TEST(what_writers_prepare_is_not)
{
    make("repo/m");
    open_watch();
    make("repo/m/.publish-0123456789abcdef");
    scratch_write("repo/m/.SERVING.0.tmp", "1\n", 2);
    make("repo/.hidden");
    ck_assert_uint_eq(changes(), 0);
    move("repo/m/.publish-0123456789abcdef", "repo/m/1");
    ck_assert_uint_gt(changes(), 0);
}
END_TEST

START_TEST(models_come_and_go)
{
    open_watch();
    make("repo/m");
    ck_assert_uint_gt(changes(), 0);
    make("repo/m/1");
    ck_assert_uint_gt(changes(), 0);
    move("repo/m", "old");
    ck_assert_uint_gt(changes(), 0);
    make("old/2"); /* is nobody's business any more */
    ck_assert_uint_eq(changes(), 0);
    make("repo/m"); /* another of that name */
    ck_assert_uint_gt(changes(), 0);
    make("repo/m/1");
    ck_assert_uint_gt(changes(), 0);
}
END_TEST

/* Both happen before the watch is looked at. */
START_TEST(a_model_is_replaced)
{
    make("repo/m");
    make("next");
    open_watch();
    move("repo/m", "old");
    move("next", "repo/m");
    ck_assert_uint_gt(changes(), 0);
    make("repo/m/1");
    ck_assert_uint_gt(changes(), 0);
    make("old/1");
    ck_assert_uint_eq(changes(), 0);
}
END_TEST

START_TEST(a_repository_that_is_not_there)
{
    ck_assert_int_eq(rmdir(repo), 0);
    open_watch();
    ck_assert_uint_eq(changes(), 0);
    repo_watch_close(NULL);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("repo_watch");
    TCase *tcase = tcase_create("repo_watch");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, versions_and_pins_are_told);
    tcase_add_test(tcase, what_writers_prepare_is_not);
    tcase_add_test(tcase, models_come_and_go);
    tcase_add_test(tcase, a_model_is_replaced);
    tcase_add_test(tcase, a_repository_that_is_not_there);
    suite_add_tcase(suite, tcase);
    return suite;
}
