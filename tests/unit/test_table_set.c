/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/table_set.h"

#include <stdio.h>
#include <string.h>

#include "server/counters.h"
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
    for (unsigned loop = 0; loop < 3; loop++) {
        table_set_count_unseen(set, a, loop, 10 + loop);
    }
    table_set_count_unseen(set, b, 1, 5);
    ck_assert_uint_eq(table_set_unseen(set, a), 33);
    ck_assert_uint_eq(table_set_unseen(set, b), 5);
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
    counter_add(&counters[0].methods[METHOD_pool].errors, 2);
    counter_add(&counters[1].methods[METHOD_pool].errors, 2);
    counters_sum(counters, 2, &totals);
    ck_assert_uint_eq(totals.connections, 6);
    ck_assert_uint_eq(totals.methods[METHOD_pool].errors, 4);
    ck_assert_uint_eq(totals.methods[METHOD_pool].requests, 0);
    ck_assert_uint_eq(totals.bytes_sent, 0);
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
    tcase_add_test(tcase, references_keep_the_tables);
    tcase_add_test(tcase, counters_are_summed);
    suite_add_tcase(suite, tcase);
    return suite;
}
