/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/model_reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/table/table_format.h"
#include "tests/lib/reload_fixture.h"
#include "tests/lib/repo_files.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

static void pin(uint64_t version)
{
    ck_assert_int_eq(model_repo_pin(reload_fixture.repo, "m", version, NULL),
                     0);
}

static void look(const char *expected)
{
    ck_assert_str_eq(reload_fixture_look(), expected);
}

static void assert_reason(const char *words)
{
    const char *reason = reload_fixture_entry()->reload.reason;
    ck_assert_msg(strstr(reason, words) != NULL, "'%s' lacks '%s'", reason,
                  words);
}

static void assert_counts(uint64_t n_loads, uint64_t n_failures)
{
    const struct catalog_reload *report = &reload_fixture_entry()->reload;
    ck_assert_uint_eq(report->n_loads, n_loads);
    ck_assert_uint_eq(report->n_failures, n_failures);
}

START_TEST(a_version_is_known_before_it_is_served)
{
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    look("");
    repo_files_add(0, 11);
    look("1 latest loaded kept 2\n2 latest loaded kept 1\n");
    repo_files_add(0, 12);
    look("2 latest loaded kept 3 1\n3 latest loaded kept 2\n");
    assert_counts(3, 0);
    const struct catalog_entry *entry = reload_fixture_entry();
    ck_assert_uint_eq(entry->reload.version, 3);
    ck_assert_str_eq(entry->reload.reason, "");
    ck_assert_uint_gt(entry->reload.at_unix_ms, 1600000000000);
    ck_assert_uint_eq(table_set_find(entry->tables, "a")->rows->n_rows, 12);
    ck_assert_uint_eq(table_set_find(entry->kept[0], "a")->rows->n_rows, 11);
}
END_TEST

START_TEST(as_many_are_kept_as_asked_for)
{
    reload_fixture.keep_loaded = 1;
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    repo_files_add(0, 10);
    look("1 latest loaded kept 2\n2 latest loaded\n");
    reload_fixture.keep_loaded = 3;
    repo_files_add(0, 10);
    look("2 latest loaded kept 3\n3 latest loaded kept 2\n");
    repo_files_add(0, 10);
    look("3 latest loaded kept 4 2\n4 latest loaded kept 3 2\n");
    repo_files_add(0, 10);
    look("4 latest loaded kept 5 3 2\n5 latest loaded kept 4 3\n");
}
END_TEST

START_TEST(a_pin_to_what_is_loaded_reads_nothing)
{
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    const struct table_set *first = reload_fixture_entry()->tables;
    repo_files_add(0, 11);
    look("1 latest loaded kept 2\n2 latest loaded kept 1\n");
    pin(1);
    look("1 pinned switched kept 2\n");
    ck_assert_ptr_eq(reload_fixture_entry()->tables, first);
    look("");
    repo_files_add(0, 12);
    look("");
    pin(2);
    look("2 pinned switched kept 1\n");
    ck_assert_ptr_eq(reload_fixture_entry()->kept[0], first);
    pin(3);
    look("2 pinned switched kept 3 1\n3 pinned loaded kept 2\n");
    pin(0);
    look("3 latest switched kept 2\n");
    assert_counts(3, 0);
}
END_TEST

/* Room for two versions, then for one. */
START_TEST(memory_bounds_what_is_kept)
{
    reload_fixture.keep_loaded = 4;
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    uint64_t bytes = catalog_entry_bytes(reload_fixture_entry());
    reload_fixture.keep_bytes = 2 * bytes;
    repo_files_add(0, 10);
    look("1 latest loaded kept 2\n2 latest loaded kept 1\n");
    repo_files_add(0, 10);
    look("2 latest loaded\n" /* given up before there is a third */
         "2 latest loaded kept 3\n3 latest loaded kept 2\n");
    reload_fixture.keep_bytes = 2 * bytes - 1;
    repo_files_add(0, 10);
    look("3 latest loaded\n3 latest loaded kept 4\n4 latest loaded\n");
}
END_TEST

/* Where memory has no room for another, or nobody asks yet, it is not. */
START_TEST(what_is_read_before_it_is_served)
{
    reload_fixture.running = false;
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    ck_assert(table_set_is_unread(reload_fixture_entry()->tables));
    reload_fixture.running = true;
    reload_fixture.keep_bytes = 2 * catalog_entry_bytes(reload_fixture_entry());
    repo_files_add(0, 10);
    look("1 latest loaded kept 2\n2 latest loaded kept 1\n");
    ck_assert(!table_set_is_unread(reload_fixture_entry()->tables));
    reload_fixture.keep_bytes--;
    repo_files_add(0, 10);
    look("2 latest loaded\n2 latest loaded kept 3\n3 latest loaded\n");
    ck_assert(table_set_is_unread(reload_fixture_entry()->tables));
}
END_TEST

/* What is copied to memory of its own cannot be cold. */
START_TEST(a_copy_was_read)
{
    char *rules[] = {"huge"};
    struct option_list residency = {.items = rules, .n = 1};
    reload_fixture.load.residency = &residency;
    reload_fixture.keep_bytes = 1;
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    ck_assert(!table_set_is_unread(reload_fixture_entry()->tables));
}
END_TEST

/* Nothing is given up for a version that turns out broken. */
START_TEST(room_is_made_for_what_is_whole)
{
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    reload_fixture.keep_bytes = 2 * catalog_entry_bytes(reload_fixture_entry());
    repo_files_add(0, 10);
    look("1 latest loaded kept 2\n2 latest loaded kept 1\n");
    repo_files_add(0, 10);
    reload_fixture_damage(3, "b.nbt", TABLE_PAGE);
    look("2 latest failed kept 1\n");
}
END_TEST

START_TEST(what_fails_leaves_all_as_it_was)
{
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    repo_files_add(0, 11);
    reload_fixture_damage(2, "b.nbt", TABLE_PAGE);
    look("1 latest failed\n");
    assert_reason("2/b.nbt: ");
    assert_reason("row section");
    assert_counts(1, 1);
    ck_assert_uint_eq(reload_fixture_entry()->reload.version, 2);
    look(""); /* it waits */
    assert_counts(1, 1);
    failed_versions_clear(&reload_fixture.failed);
    look("1 latest failed\n");
    assert_counts(1, 2);
    /* The one after it loads, and says so. */
    repo_files_add(0, 12);
    look("1 latest failed kept 3\n3 latest loaded kept 1\n");
    ck_assert_str_eq(reload_fixture_entry()->reload.reason, "");
    assert_counts(2, 2);
}
END_TEST

START_TEST(broken_files_of_every_kind)
{
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    repo_files_add(0, 11);
    ck_assert_int_eq(rename(repo_files_path("2/a.nbt"), scratch_path("a")), 0);
    look("1 latest failed\n");
    assert_reason("2/a.nbt: No such file");
    ck_assert_int_eq(rename(scratch_path("a"), repo_files_path("2/a.nbt")), 0);
    reload_fixture_damage(2, "manifest.json", 0);
    look("1 latest failed\n"); /* at once: it is another manifest */
    assert_reason("2/manifest.json: ");
    reload_fixture_damage(2, "manifest.json", 0);
    look("1 latest failed kept 2\n2 latest loaded kept 1\n");
}
END_TEST

START_TEST(without_one_that_is_served_an_older_one_is)
{
    repo_files_add(0, 10);
    repo_files_add(0, 11);
    repo_files_add(0, 12);
    reload_fixture_damage(3, "a.nbt", TABLE_PAGE);
    reload_fixture_damage(2, "a.nbt", 20); /* the header, seen on opening */
    look("1 latest loaded\n");
    assert_reason("3/a.nbt: ");
    assert_counts(1, 2);
    look("");
}
END_TEST

START_TEST(another_under_the_same_number)
{
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    ck_assert_int_eq(rename(repo_files_path("1"), scratch_path("gone")), 0);
    repo_files_add(0, 20);
    look("1 latest loaded\n");
    const struct table_set *set = reload_fixture_entry()->tables;
    ck_assert_uint_eq(table_set_find(set, "a")->rows->n_rows, 20);
    assert_counts(2, 0);
}
END_TEST

START_TEST(a_broken_pin_keeps_what_is_served)
{
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    repo_files_add(0, 11);
    pin(2);
    reload_fixture_damage(2, "b.nbt", TABLE_PAGE);
    look("1 latest failed\n");
    assert_reason("pinned to version 2: ");
    look("");
    scratch_write("repo/m/SERVING", "two\n", 4);
    look("1 latest failed\n");
    assert_reason("SERVING");
    look("");
    assert_counts(1, 2);
    scratch_write("repo/m/SERVING", "9\n", 2);
    look("1 latest failed\n");
    assert_reason("pinned to version 9: ");
    look("");
    assert_counts(1, 3);
    pin(1);
    look("1 pinned switched\n");
}
END_TEST

START_TEST(nothing_to_serve)
{
    look("0 latest failed\n");
    assert_reason("repo/m: ");
    look("");
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    ck_assert_int_eq(rename(repo_files_path("1"), scratch_path("gone")), 0);
    look("1 latest failed\n");
    assert_reason("has no version");
}
END_TEST

START_TEST(a_reason_is_printable)
{
    char repo[4096];
    snprintf(repo, sizeof(repo), "%s", scratch_path("re\xffp\no"));
    ck_assert_int_eq(mkdir(repo, 0755), 0);
    reload_fixture.repo = repo;
    look("0 latest failed\n");
    assert_reason("/re?p?o/m: ");
    look(""); /* it is no news */
}
END_TEST

static int cancel(void *arg, uint64_t bytes)
{
    (void)bytes;
    return --*(int *)arg < 0 ? -ECANCELED : 0;
}

/* Of the steps of reading, each once. */
START_TEST(what_is_cancelled_changes_nothing)
{
    int n_steps;
    const struct io_pace pace = {cancel, &n_steps};
    repo_files_add(0, 10);
    look("1 latest loaded\n");
    repo_files_add(0, 11);
    reload_fixture.load.pace = &pace;
    int n = 0;
    for (; n < 100; n++) {
        n_steps = n;
        if (reload_fixture_look()[0] != '\0') {
            break;
        }
        assert_counts(1, 0);
    }
    ck_assert_int_eq(n, 4); /* two tables, verified and read to memory */
    assert_counts(2, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("model_reload");
    TCase *tcase = tcase_create("model_reload");
    tcase_add_checked_fixture(tcase, reload_fixture_open, reload_fixture_close);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_version_is_known_before_it_is_served);
    tcase_add_test(tcase, as_many_are_kept_as_asked_for);
    tcase_add_test(tcase, a_pin_to_what_is_loaded_reads_nothing);
    tcase_add_test(tcase, memory_bounds_what_is_kept);
    tcase_add_test(tcase, what_is_read_before_it_is_served);
    tcase_add_test(tcase, a_copy_was_read);
    tcase_add_test(tcase, room_is_made_for_what_is_whole);
    tcase_add_test(tcase, what_fails_leaves_all_as_it_was);
    tcase_add_test(tcase, broken_files_of_every_kind);
    tcase_add_test(tcase, without_one_that_is_served_an_older_one_is);
    tcase_add_test(tcase, another_under_the_same_number);
    tcase_add_test(tcase, a_broken_pin_keeps_what_is_served);
    tcase_add_test(tcase, nothing_to_serve);
    tcase_add_test(tcase, a_reason_is_printable);
    tcase_add_test(tcase, what_is_cancelled_changes_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}
