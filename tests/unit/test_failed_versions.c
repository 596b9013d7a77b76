/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/failed_versions.h"

#include "tests/lib/run_suite.h"

#define SECOND UINT64_C(1000000000)

static struct failed_versions failed;

static const struct version_id first = {.manifest = {1, 100}, .changed_ns = 7};
static const struct version_id second = {.manifest = {1, 101}, .changed_ns = 8};

static void teardown(void)
{
    failed_versions_clear(&failed);
    ck_assert_uint_eq(failed_versions_next(&failed), UINT64_MAX);
}

static bool add(const char *model, uint64_t version,
                const struct version_id *id, uint64_t now_ns)
{
    return failed_versions_add(&failed, model, version, id, now_ns);
}

static bool waits(const char *model, uint64_t version,
                  const struct version_id *id, uint64_t now_ns)
{
    return failed_versions_wait(&failed, model, version, id, now_ns);
}

START_TEST(a_version_waits_for_its_time)
{
    ck_assert(!waits("m", 1, &first, SECOND));
    ck_assert_uint_eq(failed_versions_next(&failed), UINT64_MAX);
    ck_assert(add("m", 1, &first, SECOND));
    ck_assert(waits("m", 1, &first, 11 * SECOND - 1));
    ck_assert(!waits("m", 1, &first, 11 * SECOND));
    ck_assert(!waits("m", 2, &first, SECOND));
    ck_assert(!waits("n", 1, &first, SECOND));
    ck_assert(add("n", 1, &first, 0));
    ck_assert_uint_eq(failed_versions_next(&failed), 10 * SECOND);
}
END_TEST

START_TEST(waits_grow_up_to_a_bound)
{
    uint64_t now_ns = 0;
    uint64_t wait_ns = FAILED_WAIT_MIN_NS;
    for (int i = 0; i < 70; i++) {
        ck_assert(add("m", 1, &first, now_ns));
        ck_assert_uint_eq(failed_versions_next(&failed), now_ns + wait_ns);
        now_ns += wait_ns;
        wait_ns *= 2;
        wait_ns = wait_ns < FAILED_WAIT_MAX_NS ? wait_ns : FAILED_WAIT_MAX_NS;
    }
    ck_assert_uint_eq(wait_ns, FAILED_WAIT_MAX_NS);
}
END_TEST

START_TEST(another_under_its_number_begins_anew)
{
    ck_assert(add("m", 1, &first, 0));
    ck_assert(add("m", 1, &first, 0));
    ck_assert_uint_eq(failed_versions_next(&failed), 2 * FAILED_WAIT_MIN_NS);
    ck_assert(waits("m", 1, &first, SECOND));
    ck_assert(!waits("m", 1, &second, SECOND));
    ck_assert(add("m", 1, &second, 0));
    ck_assert_uint_eq(failed_versions_next(&failed), FAILED_WAIT_MIN_NS);
    ck_assert(waits("m", 1, &second, SECOND));
    struct version_id touched = second;
    touched.changed_ns++;
    ck_assert(!waits("m", 1, &touched, SECOND));
}
END_TEST

START_TEST(what_nobody_asks_for_is_forgotten)
{
    ck_assert(add("m", 1, &first, 0));
    ck_assert(add("m", 2, &first, SECOND));
    ck_assert(add("m", 3, &first, 2 * SECOND));
    failed_versions_sweep(&failed);
    ck_assert(waits("m", 1, &first, SECOND)); /* all three are still there */
    ck_assert(waits("m", 3, &first, SECOND));
    failed_versions_sweep(&failed);
    ck_assert(!waits("m", 2, &first, SECOND));
    ck_assert(waits("m", 1, &first, SECOND));
    ck_assert(waits("m", 3, &first, SECOND));
    failed_versions_sweep(&failed);
    failed_versions_sweep(&failed);
    ck_assert_uint_eq(failed_versions_next(&failed), UINT64_MAX);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("failed_versions");
    TCase *tcase = tcase_create("failed_versions");
    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, a_version_waits_for_its_time);
    tcase_add_test(tcase, waits_grow_up_to_a_bound);
    tcase_add_test(tcase, another_under_its_number_begins_anew);
    tcase_add_test(tcase, what_nobody_asks_for_is_forgotten);
    suite_add_tcase(suite, tcase);
    return suite;
}
