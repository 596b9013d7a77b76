/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What follows from a version that failed, at a time when the repository
 * cannot be listed. The clock is this file's: the test need not wait for the
 * version to be due. */
#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <uv.h>

#include "server/models/failed_versions.h"
#include "server/models/follower.h"
#include "tests/lib/faults.h"
#include "tests/lib/reload_fixture.h"
#include "tests/lib/repo_files.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define DEADLINE_NS UINT64_C(60000000000)
#define PAUSE_NS    UINT64_C(1000000000)
#define N_PASSES    2u

static atomic_uint_fast64_t ahead_ns;
static uv_mutex_t lock;
static uv_cond_t opened;
static uint64_t opened_ns[N_PASSES]; /* under `lock`: the first opens */
static unsigned n_opened;

/* In the place of libuv's. */
uint64_t uv_hrtime(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec +
           atomic_load(&ahead_ns);
}

static const char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static void on_open(void)
{
    uv_mutex_lock(&lock);
    if (n_opened < N_PASSES) {
        opened_ns[n_opened] = uv_hrtime();
    }
    n_opened++;
    uv_cond_signal(&opened);
    uv_mutex_unlock(&lock);
}

static void wait_until_opened(unsigned n)
{
    uint64_t deadline_ns = uv_hrtime() + DEADLINE_NS;
    uv_mutex_lock(&lock);
    while (n_opened < n) {
        uv_cond_timedwait(&opened, &lock, DEADLINE_NS);
        ck_assert_uint_lt(uv_hrtime(), deadline_ns);
    }
    uv_mutex_unlock(&lock);
}

/* Of a repository that is gone, a pass opens the directory alone. */
START_TEST(passes_that_list_nothing_pause)
{
    char repo[4096];
    char *argv[] = {"nibbled", "--repo", repo, "--reload-poll", "0"};
    struct options options;
    enum options_action action;
    struct follower *follower;
    snprintf(repo, sizeof(repo), "%s", repo_files_create());
    repo_files_add(0, 5);
    repo_files_add(0, 6);
    reload_fixture_damage(2, "a.nbt", 4096);
    ck_assert_int_eq(
        options_parse(&options, 5, argv, no_environment, &action, NULL), 0);
    ck_assert_int_eq(follower_create(&options, 1, NULL, &follower, NULL), 0);
    ck_assert_int_eq(rename(repo, scratch_path("gone")), 0);
    atomic_store(&ahead_ns, FAILED_WAIT_MIN_NS);
    faults_hook_open(on_open);
    ck_assert_int_eq(follower_start(follower, NULL, NULL), 0);
    follower_look(follower);
    wait_until_opened(N_PASSES);
    follower_stop(follower);
    faults_hook_open(NULL);
    ck_assert_uint_ge(opened_ns[1] - opened_ns[0], PAUSE_NS);
    follower_destroy(follower);
    options_fini(&options);
}
END_TEST

static void setup(void)
{
    scratch_create();
    faults_skip_syncs(true);
    uv_mutex_init(&lock);
    uv_cond_init(&opened);
}

static void teardown(void)
{
    uv_cond_destroy(&opened);
    uv_mutex_destroy(&lock);
    scratch_remove();
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("follower_faults");
    TCase *tcase = tcase_create("follower_faults");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, passes_that_list_nothing_pause);
    suite_add_tcase(suite, tcase);
    return suite;
}
