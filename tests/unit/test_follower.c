/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/follower.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "tests/lib/reload_fixture.h"
#include "tests/lib/repo_files.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define DEADLINE_NS UINT64_C(60000000000)

static char repo[4096];
static struct options options;
static struct follower *follower;
static struct nb_errctx err;
static uv_mutex_t lock;
static uv_cond_t applied;
static uint64_t served; /* under `lock`: what apply() was told last */
static unsigned n_applied;

static const char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

/* `flags` besides --repo, blanks between. */
static void parse(const char *flags)
{
    static char words[512];
    char *argv[32] = {"nibbled", "--repo", repo};
    int argc = 3;
    char *rest;
    enum options_action action;
    snprintf(words, sizeof(words), "%s", flags);
    for (char *word = strtok_r(words, " ", &rest); word != NULL && argc < 32;
         word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
    }
    int rv = options_parse(&options, argc, argv, no_environment, &action, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
}

static int create(const char *flags)
{
    parse(flags);
    err.text[0] = '\0';
    return follower_create(&options, 1, NULL, &follower, &err);
}

static void setup(void)
{
    scratch_create();
    snprintf(repo, sizeof(repo), "%s", repo_files_create());
    uv_mutex_init(&lock);
    uv_cond_init(&applied);
}

static void teardown(void)
{
    if (follower != NULL) {
        follower_stop(follower);
    }
    follower_destroy(follower);
    options_fini(&options);
    uv_cond_destroy(&applied);
    uv_mutex_destroy(&lock);
    scratch_remove();
}

static uint64_t version_of(const struct catalog *catalog)
{
    const struct catalog_entry *entry = catalog_find(catalog, "m");
    return entry != NULL ? table_set_version(entry->tables) : 0;
}

static void apply(void *arg, struct catalog *catalog)
{
    (void)arg;
    uv_mutex_lock(&lock);
    served = version_of(catalog);
    n_applied++;
    uv_cond_signal(&applied);
    uv_mutex_unlock(&lock);
}

static void start(const char *flags)
{
    ck_assert_msg(create(flags) == 0, "%s", err.text);
    ck_assert_int_eq(follower_start(follower, apply, NULL), 0);
}

static void wait_until_applied(uint64_t version, unsigned n)
{
    uint64_t deadline_ns = uv_hrtime() + DEADLINE_NS;
    uv_mutex_lock(&lock);
    while (served != version || n_applied < n) {
        uv_cond_timedwait(&applied, &lock, DEADLINE_NS);
        ck_assert_uint_lt(uv_hrtime(), deadline_ns);
    }
    uv_mutex_unlock(&lock);
}

static uint64_t version_now(void)
{
    struct catalog *catalog = follower_catalog(follower);
    uint64_t version = version_of(catalog);
    catalog_unref(catalog);
    return version;
}

START_TEST(the_first_pass_is_the_callers)
{
    repo_files_add(0, 5);
    repo_files_add(0, 6);
    ck_assert_int_eq(create(""), 0);
    ck_assert_uint_eq(version_now(), 2);
}
END_TEST

START_TEST(it_looks_when_told)
{
    repo_files_add(0, 5);
    start("--reload-poll 0");
    repo_files_add(0, 6);
    follower_look(follower);
    wait_until_applied(2, 2); /* known to all, then served */
    ck_assert_uint_eq(version_now(), 2);
}
END_TEST

START_TEST(it_looks_by_itself)
{
    start("--reload-poll 0.001");
    repo_files_add(0, 5);
    wait_until_applied(1, 1);
    ck_assert_int_eq(rename(repo_files_path(""), scratch_path("gone")), 0);
    wait_until_applied(0, 2); /* retired */
}
END_TEST

START_TEST(an_order_tries_again_what_failed)
{
    repo_files_add(0, 5);
    start("--reload-poll 0");
    repo_files_add(0, 6);
    reload_fixture_damage(2, "a.nbt", 4096);
    follower_look(follower);
    wait_until_applied(1, 1); /* with the failure in it */
    reload_fixture_damage(2, "a.nbt", 4096);
    follower_request(follower);
    wait_until_applied(2, 3);
}
END_TEST

/* At a byte a second it would take hours; it is in the middle of that. */
START_TEST(stopping_does_not_wait_for_the_rate)
{
    repo_files_add(0, 5);
    start("--reload-poll 0 --reload-rate 1");
    repo_files_add(0, 20000);
    follower_look(follower);
    /* What happens first is not known, but neither may take long. */
    follower_stop(follower);
    follower_stop(follower);
    ck_assert_uint_eq(version_now(), 1);
}
END_TEST

/* The two tables of 30 KB and more, at 400 KB/s, verified and read in. */
START_TEST(reading_keeps_to_the_rate)
{
    repo_files_add(0, 5);
    start("--reload-poll 0 --reload-rate 400000");
    repo_files_add(0, 5000);
    uint64_t began_ns = uv_hrtime();
    follower_look(follower);
    wait_until_applied(2, 2);
    uint64_t took_ns = uv_hrtime() - began_ns;
    struct catalog *catalog = follower_catalog(follower);
    const struct table_set *set = catalog_find(catalog, "m")->tables;
    uint64_t due_ns = table_set_bytes(set) * 1000000000 / 400000;
    ck_assert_uint_gt(due_ns, 100000000);
    ck_assert_uint_gt(took_ns, due_ns);
    catalog_unref(catalog);
}
END_TEST

START_TEST(a_named_model_must_load)
{
    repo_files_add(0, 5);
    ck_assert_int_eq(create("--model m --model n"), NB_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "model n: "));
    options_fini(&options);
    reload_fixture_damage(1, "a.nbt", 4096);
    ck_assert_int_eq(create("--model m"), NB_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "1/a.nbt: checksum mismatch"));
    options_fini(&options);
    ck_assert_int_eq(create(""), 0);
    ck_assert_uint_eq(version_now(), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("follower");
    TCase *tcase = tcase_create("follower");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, the_first_pass_is_the_callers);
    tcase_add_test(tcase, it_looks_when_told);
    tcase_add_test(tcase, it_looks_by_itself);
    tcase_add_test(tcase, an_order_tries_again_what_failed);
    tcase_add_test(tcase, stopping_does_not_wait_for_the_rate);
    tcase_add_test(tcase, reading_keeps_to_the_rate);
    tcase_add_test(tcase, a_named_model_must_load);
    suite_add_tcase(suite, tcase);
    return suite;
}
