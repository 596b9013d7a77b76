/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/table_set.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "server/stats/counters.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

static struct table_set *set;

static void setup(void)
{
    scratch_create();
    ck_assert_int_eq(table_set_create("m", 7, 3, &set), 0);
}

static void teardown(void)
{
    table_set_unref(set);
    scratch_remove();
}

static void add(const char *name)
{
    const char *path = table_file_write("t.nbt", 8, 10);
    ck_assert_int_eq(table_set_add(set, name, path, TABLE_VERIFY_FULL, NULL),
                     0);
}

START_TEST(tables_are_found_by_name)
{
    static const char *const names[] = {"m", "b", "zz", "a", "z", "B", "aa"};
    static const char *const sorted[] = {"B", "a", "aa", "b", "m", "z", "zz"};
    for (size_t i = 0; i < 7; i++) {
        add(names[i]);
    }
    ck_assert_uint_eq(table_set_n(set), 7);
    for (size_t i = 0; i < 7; i++) {
        ck_assert_str_eq(table_set_at(set, i)->name, sorted[i]);
        ck_assert_ptr_eq(table_set_find(set, sorted[i]), table_set_at(set, i));
        ck_assert_uint_eq(table_set_at(set, i)->rows->n_rows, 10);
        ck_assert_uint_eq(table_set_at(set, i)->row_bytes, 8);
    }
    ck_assert_ptr_null(table_set_find(set, ""));
    ck_assert_ptr_null(table_set_find(set, "ab"));
    ck_assert_ptr_null(table_set_find(set, "zzz"));
    ck_assert_str_eq(table_set_model(set), "m");
    ck_assert_uint_eq(table_set_version(set), 7);
}
END_TEST

START_TEST(what_cannot_be_added_changes_nothing)
{
    struct nb_errctx err;
    add("a");
    const char *path = table_file_write("t.nbt", 8, 10);
    ck_assert_int_eq(table_set_add(set, "a", path, TABLE_VERIFY_FULL, &err),
                     NB_ERR_INVALID);
    ck_assert_str_eq(err.text, "table 'a' is given twice");
    path = scratch_write("bad.nbt", "not a table at all", 18);
    ck_assert_int_lt(table_set_add(set, "b", path, TABLE_VERIFY_FULL, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "bad.nbt"));
    ck_assert_int_lt(
        table_set_add(set, "b", scratch_path("none"), TABLE_VERIFY_FULL, &err),
        0);
    ck_assert_uint_eq(table_set_n(set), 1);
}
END_TEST

START_TEST(unseen_ids_are_summed_over_loops)
{
    add("b");
    add("a");
    const struct table_entry *a = table_set_find(set, "a");
    const struct table_entry *b = table_set_find(set, "b");
    struct table_totals totals;
    for (unsigned loop = 0; loop < 3; loop++) {
        const struct table_totals more = {.ids = 100, .unseen = 10 + loop};
        table_stats_add(a->stats, loop, &more);
    }
    table_stats_add(b->stats, 1, &(struct table_totals){.bags = 5});
    table_stats_sum(a->stats, &totals);
    ck_assert_uint_eq(totals.ids, 300);
    ck_assert_uint_eq(totals.bags, 0);
    ck_assert_uint_eq(totals.unseen, 33);
    table_stats_sum(b->stats, &totals);
    ck_assert_uint_eq(totals.bags, 5);
    ck_assert_uint_eq(totals.unseen, 0);
}
END_TEST

static uint64_t ids_of(const struct table_set *of)
{
    struct table_totals totals;
    table_stats_sum(table_set_at(of, 0)->stats, &totals);
    return totals.ids;
}

START_TEST(versions_that_are_loaded_count_together)
{
    static const char *const models[] = {"m", "other"};
    struct table_set *next[2];
    add("a");
    table_stats_add(table_set_at(set, 0)->stats, 0,
                    &(struct table_totals){.ids = 7});
    const char *path = table_file_write("t.nbt", 8, 10);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(table_set_create(models[i], 8, 3, &next[i]), 0);
        ck_assert_int_eq(
            table_set_add(next[i], "a", path, TABLE_VERIFY_FULL, NULL), 0);
    }
    ck_assert_uint_eq(ids_of(next[0]), 7);
    ck_assert_uint_eq(ids_of(next[1]), 0); /* of another model */
    table_set_unref(set);
    ck_assert_uint_eq(ids_of(next[0]), 7);
    table_set_unref(next[0]);
    table_set_unref(next[1]);
    ck_assert_int_eq(table_set_create("m", 9, 3, &set), 0);
    add("a"); /* nobody has had it for a while */
    ck_assert_uint_eq(ids_of(set), 0);
}
END_TEST

START_TEST(references_keep_the_tables)
{
    add("a");
    struct table_set *other = table_set_ref(set);
    const struct table_entry *entry = table_set_find(other, "a");
    table_set_unref(set);
    /* Still mapped: reading would fault, or show under ASan, if it were not. */
    ck_assert_uint_eq(((const uint8_t *)entry->rows->base)[0],
                      *(const uint8_t *)entry->rows->base);
    set = other; /* ended by the teardown */
}
END_TEST

START_TEST(counters_are_summed)
{
    static struct counters counters[2];
    struct totals totals;
    counter_add(&counters[0].connections, 3);
    counter_add(&counters[1].connections, 4);
    counter_add(&counters[1].connections, UINT64_MAX); /* one less */
    counter_add(&counters[0].methods[METHOD_pool].codes[0], 9);
    counter_add(&counters[0].methods[METHOD_pool].codes[4], 2);
    counter_add(&counters[1].methods[METHOD_pool].codes[5], 2);
    durations_add(&counters[0].turns, 1000, 2);
    durations_add(&counters[1].turns, 1001, 3);
    counters_sum(counters, 2, &totals);
    ck_assert_uint_eq(totals.connections, 6);
    ck_assert_uint_eq(totals.methods[METHOD_pool].errors, 4);
    ck_assert_uint_eq(totals.methods[METHOD_pool].expired, 2);
    ck_assert_uint_eq(totals.methods[METHOD_pool].codes[0], 9);
    ck_assert_uint_eq(totals.turns.counts[0], 2);
    ck_assert_uint_eq(totals.turns.counts[1], 3);
    ck_assert_uint_eq(totals.turns.sum_ns, 5003);
    ck_assert_uint_eq(totals.methods[METHOD_pool].requests, 0);
    ck_assert_uint_eq(totals.bytes_sent, 0);
}
END_TEST

static uv_sem_t started;
static uv_sem_t go_on;

static void wait_to_go_on(struct reaper_item *item)
{
    (void)item;
    uv_sem_post(&started);
    uv_sem_wait(&go_on);
}

static bool is_mapped(const char *name)
{
    char line[4096];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    while (!found && fgets(line, sizeof(line), maps) != NULL) {
        found = strstr(line, name) != NULL;
    }
    fclose(maps);
    return found;
}

/* By the thread that is told to, once it comes to it. */
START_TEST(whoever_lets_go_does_not_unmap)
{
    struct reaper *reaper;
    struct table_set *other;
    struct reaper_item first = {.free = wait_to_go_on};
    const char *path = table_file_write("reaped.nbt", 8, 10);
    uv_sem_init(&started, 0);
    uv_sem_init(&go_on, 0);
    ck_assert_int_eq(reaper_create(&reaper), 0);
    ck_assert_int_eq(table_set_create("m", 8, 3, &other), 0);
    ck_assert_int_eq(table_set_add(other, "t", path, TABLE_VERIFY_FULL, NULL),
                     0);
    table_set_free_by(other, reaper);
    reaper_take(reaper, &first);
    uv_sem_wait(&started);
    table_set_unref(other);
    bool kept = is_mapped("reaped.nbt");
    uv_sem_post(&go_on);
    reaper_destroy(reaper);
    ck_assert(kept);
    ck_assert(!is_mapped("reaped.nbt"));
    uv_sem_destroy(&started);
    uv_sem_destroy(&go_on);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("table_set");
    TCase *tcase = tcase_create("table_set");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, tables_are_found_by_name);
    tcase_add_test(tcase, what_cannot_be_added_changes_nothing);
    tcase_add_test(tcase, unseen_ids_are_summed_over_loops);
    tcase_add_test(tcase, versions_that_are_loaded_count_together);
    tcase_add_test(tcase, references_keep_the_tables);
    tcase_add_test(tcase, whoever_lets_go_does_not_unmap);
    tcase_add_test(tcase, counters_are_summed);
    suite_add_tcase(suite, tcase);
    return suite;
}
