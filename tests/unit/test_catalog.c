/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/catalog.h"

#include "tests/lib/run_suite.h"

static struct catalog *catalog;

static void setup(void)
{
    ck_assert_int_eq(catalog_create(&catalog), 0);
}

static void teardown(void)
{
    catalog_unref(catalog);
}

static int add(const char *name, uint64_t version, enum catalog_choice choice)
{
    struct table_set *set;
    ck_assert_int_eq(table_set_create(name, version, 1, &set), 0);
    int rv = catalog_add(catalog, set, choice);
    table_set_unref(set);
    return rv;
}

START_TEST(models_are_found_by_name)
{
    static const char *const names[] = {"m", "b", "z", "a", "B"};
    static const char *const sorted[] = {"B", "a", "b", "m", "z"};
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(add(names[i], i + 1, CATALOG_LATEST), 0);
    }
    ck_assert_uint_eq(catalog_n(catalog), 5);
    for (size_t i = 0; i < 5; i++) {
        const struct catalog_entry *entry = catalog_find(catalog, sorted[i]);
        ck_assert_ptr_eq(entry, catalog_at(catalog, i));
        ck_assert_str_eq(table_set_model(entry->tables), sorted[i]);
    }
    ck_assert_uint_eq(table_set_version(catalog_find(catalog, "z")->tables), 3);
    ck_assert_ptr_null(catalog_find(catalog, "c"));
    ck_assert_ptr_null(catalog_find(catalog, "zz"));
    ck_assert_int_eq(add("a", 9, CATALOG_PINNED), NB_ERR_INVALID);
    ck_assert_uint_eq(catalog_n(catalog), 5);
}
END_TEST

START_TEST(an_empty_name_is_the_only_model)
{
    ck_assert_ptr_null(catalog_find(catalog, ""));
    add("m", 1, CATALOG_PINNED);
    ck_assert_ptr_eq(catalog_find(catalog, ""), catalog_at(catalog, 0));
    ck_assert_int_eq(catalog_find(catalog, "")->choice, CATALOG_PINNED);
    add("n", 1, CATALOG_FILES);
    ck_assert_ptr_null(catalog_find(catalog, ""));
}
END_TEST

START_TEST(names_are_cut_to_fit)
{
    char text[16];
    catalog_names(catalog, text, sizeof(text));
    ck_assert_str_eq(text, "");
    add("aaa", 1, CATALOG_FILES);
    add("bbb", 1, CATALOG_FILES);
    catalog_names(catalog, text, sizeof(text));
    ck_assert_str_eq(text, "aaa, bbb");
    add("cccccccc", 1, CATALOG_FILES);
    catalog_names(catalog, text, sizeof(text));
    ck_assert_str_eq(text, "aaa, bbb, ...");
    catalog_names(catalog, text, 10);
    ck_assert_str_eq(text, "...");
}
END_TEST

START_TEST(references_keep_the_models)
{
    add("m", 7, CATALOG_LATEST);
    struct catalog *other = catalog_ref(catalog);
    catalog_unref(catalog);
    ck_assert_uint_eq(table_set_version(catalog_at(other, 0)->tables), 7);
    ck_assert_str_eq(catalog_choice_name(CATALOG_FILES), "files");
    ck_assert_str_eq(catalog_choice_name(CATALOG_LATEST), "latest");
    ck_assert_str_eq(catalog_choice_name(CATALOG_PINNED), "pinned");
}
END_TEST

/* An entry of model "m" with `n` versions: `served` and those below it. */
static struct catalog_entry make_entry(uint64_t served, size_t n)
{
    struct catalog_entry entry = {.choice = CATALOG_LATEST, .n_kept = n - 1};
    ck_assert_int_eq(table_set_create("m", served, 1, &entry.tables), 0);
    for (size_t i = 0; i + 1 < n; i++) {
        ck_assert_int_eq(
            table_set_create("m", served - 1 - i, 1, &entry.kept[i]), 0);
    }
    return entry;
}

static void drop_entry(const struct catalog_entry *entry)
{
    table_set_unref(entry->tables);
    for (size_t i = 0; i < entry->n_kept; i++) {
        table_set_unref(entry->kept[i]);
    }
}

START_TEST(a_copy_with_another_entry)
{
    struct catalog *next;
    struct catalog *without;
    const struct catalog_entry entry = make_entry(9, 3);
    add("a", 1, CATALOG_LATEST);
    add("m", 1, CATALOG_LATEST);
    add("z", 1, CATALOG_LATEST);
    ck_assert_int_eq(catalog_replace(catalog, "m", &entry, &next), 0);
    drop_entry(&entry);
    ck_assert_uint_eq(table_set_version(catalog_find(catalog, "m")->tables), 1);
    ck_assert_uint_eq(catalog_n(next), 3);
    const struct catalog_entry *found = catalog_find(next, "m");
    ck_assert_uint_eq(table_set_version(found->tables), 9);
    ck_assert_int_eq(catalog_replace(next, "m", NULL, &without), 0);
    ck_assert_uint_eq(catalog_n(without), 2);
    ck_assert_ptr_null(catalog_find(without, "m"));
    /* What is kept is held by the catalog. */
    ck_assert_uint_eq(table_set_version(found->kept[1]), 7);
    catalog_unref(without);
    catalog_unref(next);
}
END_TEST

START_TEST(versions_are_found_by_number)
{
    const struct catalog_entry entry = make_entry(9, 3);
    ck_assert_ptr_eq(catalog_entry_version(&entry, 0), entry.tables);
    ck_assert_ptr_eq(catalog_entry_version(&entry, 9), entry.tables);
    ck_assert_ptr_eq(catalog_entry_version(&entry, 8), entry.kept[0]);
    ck_assert_ptr_eq(catalog_entry_version(&entry, 7), entry.kept[1]);
    ck_assert_ptr_null(catalog_entry_version(&entry, 6));
    drop_entry(&entry);
    const struct catalog_entry none = make_entry(0, 1);
    ck_assert_ptr_null(catalog_entry_version(&none, 0));
    ck_assert(!catalog_entry_is_served(&none));
    /* It is there, but an empty name means one that is served. */
    ck_assert_int_eq(catalog_add_entry(catalog, &none), 0);
    ck_assert_ptr_nonnull(catalog_find(catalog, "m"));
    ck_assert_ptr_null(catalog_find(catalog, ""));
    add("n", 1, CATALOG_LATEST);
    ck_assert_ptr_eq(catalog_find(catalog, ""), catalog_find(catalog, "n"));
    char names[16];
    catalog_names(catalog, names, sizeof(names));
    ck_assert_str_eq(names, "n");
    drop_entry(&none);
}
END_TEST

/* Replaces the model `name` by an entry with that reload. */
static void replace(const char *name, enum reload_result result,
                    uint64_t version, uint64_t at_unix_ms)
{
    struct catalog *copy;
    struct catalog_entry entry = {.choice = CATALOG_LATEST,
                                  .reload = {.result = result,
                                             .version = version,
                                             .at_unix_ms = at_unix_ms}};
    ck_assert_int_eq(table_set_create(name, version, 1, &entry.tables), 0);
    ck_assert_int_eq(catalog_replace(catalog, name, &entry, &copy), 0);
    table_set_unref(entry.tables);
    catalog_unref(catalog);
    catalog = copy;
}

START_TEST(events_are_remembered_newest_first)
{
    ck_assert_uint_eq(catalog_n_events(catalog), 0);
    replace("m", RELOAD_LOADED, 1, 1000);
    replace("m", RELOAD_LOADED, 1, 1000); /* replaced for another reason */
    replace("n", RELOAD_NONE, 1, 0);
    ck_assert_uint_eq(catalog_n_events(catalog), 1);
    replace("n", RELOAD_FAILED, 2, 2000);
    ck_assert_uint_eq(catalog_n_events(catalog), 2);
    ck_assert_str_eq(catalog_event_at(catalog, 0)->model, "n");
    ck_assert_int_eq(catalog_event_at(catalog, 0)->reload.result,
                     RELOAD_FAILED);
    ck_assert_str_eq(catalog_event_at(catalog, 1)->model, "m");
    for (uint64_t i = 1; i <= CATALOG_EVENTS; i++) {
        replace("m", RELOAD_LOADED, 10 + i, 2000 + i);
    }
    ck_assert_uint_eq(catalog_n_events(catalog), CATALOG_EVENTS);
    ck_assert_uint_eq(catalog_event_at(catalog, 0)->reload.version,
                      10 + CATALOG_EVENTS);
    ck_assert_uint_eq(
        catalog_event_at(catalog, CATALOG_EVENTS - 1)->reload.version, 11);
}
END_TEST

/* Versions 9, which is served, 8 and 7, of which `unread` was not read. */
static struct catalog *with_unread(const struct catalog *before,
                                   uint64_t unread)
{
    struct catalog *copy;
    struct catalog_entry entry = make_entry(9, 3);
    table_set_tell_unread(catalog_entry_version(&entry, unread));
    ck_assert_int_eq(catalog_replace(before, "m", &entry, &copy), 0);
    drop_entry(&entry);
    return copy;
}

START_TEST(what_is_new_and_was_not_read)
{
    add("a", 1, CATALOG_LATEST);
    for (uint64_t unread = 7; unread <= 9; unread++) {
        struct catalog *next = with_unread(catalog, unread);
        ck_assert(catalog_brings_unread(next, catalog));
        ck_assert(!catalog_brings_unread(next, next));
        ck_assert(!catalog_brings_unread(catalog, next));

        /* The one kept last is served instead, as a pin has it. */
        struct catalog *pinned;
        struct catalog_entry entry = *catalog_find(next, "m");
        struct table_set *served = entry.tables;
        entry.tables = entry.kept[1];
        entry.kept[1] = served;
        ck_assert_int_eq(catalog_replace(next, "m", &entry, &pinned), 0);
        ck_assert(catalog_brings_unread(pinned, next) == (unread == 7));
        catalog_unref(pinned);

        /* Another stands under the number. */
        struct catalog *other = with_unread(next, unread);
        ck_assert(catalog_brings_unread(other, next));
        catalog_unref(other);
        catalog_unref(next);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("catalog");
    TCase *tcase = tcase_create("catalog");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, models_are_found_by_name);
    tcase_add_test(tcase, an_empty_name_is_the_only_model);
    tcase_add_test(tcase, names_are_cut_to_fit);
    tcase_add_test(tcase, references_keep_the_models);
    tcase_add_test(tcase, a_copy_with_another_entry);
    tcase_add_test(tcase, versions_are_found_by_number);
    tcase_add_test(tcase, what_is_new_and_was_not_read);
    tcase_add_test(tcase, events_are_remembered_newest_first);
    suite_add_tcase(suite, tcase);
    return suite;
}
